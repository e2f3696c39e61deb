#include "app/consume_stream.hpp"

#include "app/clocks.hpp"
#include "app/queue_message.hpp"
#include "app/randomness.hpp"

#include <algorithm>
#include <exception>

namespace app {
namespace {

constexpr std::size_t burst_messages_max = 500;  // between two looks at the writer

}  // namespace

ConsumeStream::ConsumeStream(MessageSource& source, StreamLog& log, PositionStore* positions,
                             const DecodeMessage& decode, ConsumeObserver& observer, ConsumeOptions options,
                             std::function<double()> random_fraction)
    : source_(source),
      log_(log),
      positions_(positions),
      decode_(decode),
      observer_(observer),
      options_(std::move(options)),
      random_(std::move(random_fraction))
{
}

ConsumeStream::~ConsumeStream() = default;

void ConsumeStream::run()
{
    source_.subscribe(*this);
    while (!is_stopping()) {
        settle();
        restart();
        stage();
        send();
        read_some();
        regulate();
        commit_sometimes();
    }
    wait_for_writer();
    source_.close();
}

void ConsumeStream::stop()
{
    {
        const std::lock_guard lock(mailbox_->mutex);
        mailbox_->stopping = true;
    }
    mailbox_->wake.notify_all();
}

std::vector<std::string> ConsumeStream::not_ready() const
{
    std::vector<std::string> reasons;
    if (is_stopping()) reasons.emplace_back("stopping");
    if (database_down_) reasons.emplace_back("database not reachable: consumption is paused");
    if (registry_down_) reasons.emplace_back("schema registry not reachable: consumption is paused");
    return reasons;
}

// --- Partitions come and go

Positions ConsumeStream::assigned(const std::vector<domain::PartitionId>& partitions)
{
    for (unsigned failures = 0; !is_stopping(); ++failures) {
        try {
            auto start = start_positions(partitions);
            database_down_ = false;
            clear_partitions();
            for (const auto& [id, offset] : start) partitions_.emplace(id, PartitionState(offset));
            return start;
        } catch (const std::exception&) {
            database_down_ = true;
            observer_.trouble("start positions not known");
            pause_for(next_delay(failures));
        }
    }
    return {};
}

Positions ConsumeStream::start_positions(const std::vector<domain::PartitionId>& partitions)
{
    if (positions_ == nullptr) return source_.first_positions(partitions);
    auto stored = positions_->read(options_.group, partitions);
    std::vector<domain::PartitionId> missing;
    for (const auto& id : partitions) {
        if (!stored.contains(id)) missing.push_back(id);
    }
    if (missing.empty()) return stored;
    positions_->begin(options_.group, source_.first_positions(missing));
    return positions_->read(options_.group, partitions);
}

void ConsumeStream::revoked(bool lost)
{
    if (!lost) {
        wait_for_writer();
        commit_now(true);
    }
    to_commit_.clear();
    clear_partitions();
}

void ConsumeStream::clear_partitions()
{
    partitions_.clear();
    staged_ = {};
    restart_pending_ = false;
    registry_down_ = false;
    // A batch that the writer still holds may yet be committed. That does no harm: whoever reads its
    // partitions then finds their positions moved, and starts from there.
    orphaned_ = with_writer_;
    if (!with_writer_) current_.reset();
}

// --- From messages to batches

void ConsumeStream::read_some()
{
    auto wait = poll_wait();
    for (std::size_t i = 0; i < burst_messages_max; ++i) {
        auto message = source_.poll(wait);
        if (!message) return;
        receive(std::move(*message));
        wait = std::chrono::milliseconds(0);
    }
}

void ConsumeStream::receive(domain::StreamMessage message)
{
    const auto at = partitions_.find(message.partition);
    if (at == partitions_.end() || !at->second.position.receive(message.offset)) return;
    at->second.waiting_bytes += message.bytes();
    at->second.waiting.push_back(std::move(message));
}

bool ConsumeStream::is_full(const Batch& batch) const
{
    return batch.rows >= options_.batch_rows_max || batch.messages >= options_.batch_rows_max ||
           batch.bytes >= options_.batch_bytes_max;
}

void ConsumeStream::stage()
{
    if (restart_pending_) return;
    for (auto& [id, state] : partitions_) {
        while (!state.waiting.empty() && !is_full(staged_)) {
            if (!stage_next(id, state)) break;
        }
    }
}

bool ConsumeStream::stage_next(const domain::PartitionId& id, PartitionState& state)
{
    if (state.held && Clock::now() < registry_retry_at_) return false;
    auto decoded = decode_(state.waiting.front());
    if (std::holds_alternative<RegistryUnavailable>(decoded)) {
        state.held = true;
        registry_down_ = true;
        registry_retry_at_ = Clock::now() + next_delay(registry_failures_++);
        observer_.trouble("schema registry not reachable");
        return false;
    }
    if (std::exchange(state.held, false)) {
        registry_failures_ = 0;
        registry_down_ = false;
    }
    take(staged_, id, state);
    auto message = std::move(state.waiting.front());
    state.waiting.pop_front();
    if (auto* event = std::get_if<domain::PreparedEvent>(&decoded)) {
        staged_.rows += event->rows();
        staged_.bytes += event->bytes();
        staged_.content.events.push_back(std::move(*event));
        staged_.event_messages.push_back(std::move(message));
    } else {
        staged_.rows += 1;
        staged_.content.quarantined.push_back(
            quarantined(std::move(std::get<Rejected>(decoded)), std::move(message)));
    }
    return true;
}

QuarantinedMessage ConsumeStream::quarantined(Rejected rejected, domain::StreamMessage message) const
{
    if (positions_ == nullptr) message.offset = stable_offset(message);
    return {new_id(),
            std::move(rejected.service),
            rejected.reason,
            std::move(rejected.detail),
            std::move(rejected.field_errors),
            std::move(message)};
}

void ConsumeStream::take(Batch& batch, const domain::PartitionId& id, PartitionState& state)
{
    const auto& message = state.waiting.front();
    auto& step =
        batch.steps.try_emplace(id, domain::PositionStep{id, state.taken, state.taken}).first->second;
    step.to = message.offset + 1;
    state.taken = step.to;
    state.waiting_bytes -= message.bytes();
    batch.bytes += message.bytes();
    batch.messages += 1;
}

// --- From batches to the log

void ConsumeStream::send()
{
    if (with_writer_ || restart_pending_ || Clock::now() < retry_at_) return;
    if (!current_) {
        if (staged_.messages == 0) return;
        current_ = std::make_shared<Batch>(std::exchange(staged_, Batch{}));
        current_->content.group = options_.group;
        if (positions_ != nullptr) {
            for (const auto& [id, step] : current_->steps) current_->content.steps.push_back(step);
        }
        sent_at_ = Clock::now();
    }
    with_writer_ = true;
    // The pointer shares the batch's ownership, so the writer may outlive our interest in it.
    log_.append_stream(std::shared_ptr<const StreamBatch>(current_, &current_->content),
                       [mailbox = mailbox_](AppendResult result) {
                           {
                               const std::lock_guard lock(mailbox->mutex);
                               mailbox->result = std::move(result);
                           }
                           mailbox->wake.notify_all();
                       });
}

void ConsumeStream::settle()
{
    std::optional<AppendResult> result;
    {
        const std::lock_guard lock(mailbox_->mutex);
        result.swap(mailbox_->result);
    }
    if (!result) return;
    with_writer_ = false;
    if (std::exchange(orphaned_, false)) {
        current_.reset();
        return;
    }
    if (!result->refusal) return settle_stored(result->events);
    switch (*result->refusal) {
        case AppendRefusal::poison:
            return quarantine_poison(result->events);
        case AppendRefusal::superseded:
            restart_pending_ = true;
            return;
        case AppendRefusal::queue_full:
        case AppendRefusal::unavailable:
        case AppendRefusal::outcome_unknown:
        case AppendRefusal::stopping:
            observer_.trouble("batch not stored; trying again");
            return back_off();
    }
}

void ConsumeStream::settle_stored(const AppendedEvents& answers)
{
    failures_ = 0;
    database_down_ = false;
    for (const auto& [id, step] : current_->steps) {
        to_commit_.insert_or_assign(id, step.to);
        if (const auto at = partitions_.find(id); at != partitions_.end()) at->second.position.store(step.to);
    }
    for (std::size_t i = 0; i < answers.size(); ++i) {
        observer_.stored(current_->event_messages[i].partition.topic, current_->content.events[i],
                         *answers[i]);
    }
    for (const auto& message : current_->content.quarantined) observer_.quarantined(message);
    observer_.committed(current_->messages, Clock::now() - sent_at_);
    current_.reset();
}

void ConsumeStream::quarantine_poison(const AppendedEvents& events)
{
    auto& batch = *current_;
    std::vector<domain::PreparedEvent> good;
    std::vector<domain::StreamMessage> messages;
    for (std::size_t i = 0; i < events.size(); ++i) {
        if (events[i]) {
            good.push_back(std::move(batch.content.events[i]));
            messages.push_back(std::move(batch.event_messages[i]));
            continue;
        }
        Rejected rejected{domain::RejectReason::refused_by_database, "the database cannot hold this event",
                          std::move(batch.content.events[i].service)};
        batch.content.quarantined.push_back(
            quarantined(std::move(rejected), std::move(batch.event_messages[i])));
    }
    batch.content.events = std::move(good);
    batch.event_messages = std::move(messages);
}

// Somebody else moved a position, or our own try whose outcome we did not learn: the stored positions tell.
void ConsumeStream::restart()
{
    if (!restart_pending_ || Clock::now() < retry_at_) return;
    std::vector<domain::PartitionId> ids;
    for (const auto& [id, state] : partitions_) ids.push_back(id);
    try {
        const auto stored = positions_->read(options_.group, ids);
        if (was_stored(stored)) {
            restart_pending_ = false;
            return settle_stored({});
        }
        database_down_ = false;
        // Whoever still reads partitions that are another's meets this again and again: not in a hot loop.
        retry_at_ = Clock::now() + next_delay(failures_++);
        if (stored.size() != ids.size() || !source_.seek(stored)) return;
        observer_.trouble("stored positions were moved by another consumer; reading from there");
        clear_partitions();
        for (const auto& [id, offset] : stored) partitions_.emplace(id, PartitionState(offset));
        for (const auto& [id, offset] : stored) source_.resume(id);
    } catch (const std::exception&) {
        back_off();
    }
}

bool ConsumeStream::was_stored(const Positions& stored) const
{
    return std::all_of(current_->steps.begin(), current_->steps.end(), [&](const auto& entry) {
        const auto at = stored.find(entry.first);
        return at != stored.end() && at->second == entry.second.to;
    });
}

}  // namespace app
