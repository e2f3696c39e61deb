#include "api/stream_ring.hpp"

#include <algorithm>

namespace infra::api {

std::size_t StreamBlock::offset_behind(const domain::Uuid& id) const
{
    const auto& entries = content.entries;
    const auto next =
        std::upper_bound(entries.begin(), entries.end(), id,
                         [](const domain::Uuid& wanted, const auto& entry) { return wanted < entry.id; });
    return next == entries.begin() ? 0 : std::prev(next)->end;
}

void StreamRing::start(const domain::Uuid& at)
{
    first_ = end();  // a number must not mean two blocks
    blocks_.clear();
    bytes_ = 0;
    begin_id_ = at;
    end_id_ = at;
    started_ = true;
}

void StreamRing::append(std::shared_ptr<const StreamBlock> block)
{
    bytes_ += block->content.text.size();
    end_id_ = block->last;
    blocks_.push_back(std::move(block));
    while (bytes_ > bytes_max_ && blocks_.size() > 1) {
        begin_id_ = blocks_.front()->last;
        bytes_ -= blocks_.front()->content.text.size();
        blocks_.pop_front();
        ++first_;
    }
}

std::optional<std::uint64_t> StreamRing::find(const domain::Uuid& id) const
{
    if (!started_ || id < begin_id_) return std::nullopt;
    const auto block = std::upper_bound(
        blocks_.begin(), blocks_.end(), id,
        [](const domain::Uuid& wanted, const auto& candidate) { return wanted < candidate->last; });
    return first_ + static_cast<std::uint64_t>(block - blocks_.begin());
}

}  // namespace infra::api
