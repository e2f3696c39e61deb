#pragma once

#include "pg/event_feed.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

namespace infra::api {

// What followers are sent: events in order, and between which ids they lie.
struct StreamBlock {
    StreamBlock(const domain::Uuid& previous, pg::FeedPage page)
        : after(previous), last(page.entries.back().id), content(std::move(page))
    {
    }

    // Where what follows `id` begins.
    std::size_t offset_behind(const domain::Uuid& id) const;

    domain::Uuid after{};  // the event before the first one
    domain::Uuid last{};
    pg::FeedPage content;
};

// The newest blocks of the stream, shared by all followers: the one buffer there is. Numbers of blocks only
// grow.
class StreamRing {
public:
    explicit StreamRing(std::size_t bytes_max) : bytes_max_(bytes_max) {}

    // Where the stream begins; drops what was there.
    void start(const domain::Uuid& at);
    bool started() const { return started_; }
    const domain::Uuid& end_id() const { return end_id_; }

    // Older blocks make room; the new one always stays.
    void append(std::shared_ptr<const StreamBlock> block);

    std::uint64_t first() const { return first_; }
    std::uint64_t end() const { return first_ + blocks_.size(); }
    const std::shared_ptr<const StreamBlock>& at(std::uint64_t number) const
    {
        return blocks_[number - first_];
    }

    // The block in which one goes on who has everything up to `id`, end() where that is all there is; nothing
    // when that lies before the ring.
    std::optional<std::uint64_t> find(const domain::Uuid& id) const;

private:
    const std::size_t bytes_max_;
    bool started_ = false;
    domain::Uuid begin_id_{};
    domain::Uuid end_id_{};
    std::uint64_t first_ = 0;
    std::size_t bytes_ = 0;
    std::deque<std::shared_ptr<const StreamBlock>> blocks_;
};

}  // namespace infra::api
