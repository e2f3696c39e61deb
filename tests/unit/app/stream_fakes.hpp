#pragma once

#include "app/consume_stream.hpp"

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// In-memory twins of a consumer's ports.
namespace fakes {

// A log of partitions that a test fills; when everything was read it calls `idle`, which stops the test.
class ScriptedSource final : public app::MessageSource {
public:
    std::map<domain::PartitionId, std::vector<std::string>> log;
    std::function<void()> idle = [] {};
    std::set<domain::PartitionId> paused;
    app::Positions told;  // commits
    int seeks = 0;
    int pauses = 0;
    bool closed = false;

    void subscribe(Listener& listener) override { listener_ = &listener; }

    std::optional<domain::StreamMessage> poll(std::chrono::milliseconds) override
    {
        if (!assigned_) {
            std::vector<domain::PartitionId> ids;
            for (const auto& [id, values] : log) ids.push_back(id);
            next_ = listener_->assigned(ids);
            assigned_ = true;
        }
        for (auto& [id, offset] : next_) {
            const auto& values = log.at(id);
            if (paused.contains(id) || offset >= static_cast<std::int64_t>(values.size())) continue;
            domain::StreamMessage message{id, offset};
            message.value = values[static_cast<std::size_t>(offset++)];
            return message;
        }
        idle();
        return std::nullopt;
    }

    void pause(const domain::PartitionId& id) override
    {
        ++pauses;
        paused.insert(id);
    }

    void resume(const domain::PartitionId& id) override { paused.erase(id); }

    bool seek(const app::Positions& positions) override
    {
        ++seeks;
        for (const auto& [id, offset] : positions) next_[id] = offset;
        return true;
    }

    void commit(const app::Positions& positions, bool) override
    {
        for (const auto& [id, offset] : positions) told[id] = offset;
    }

    app::Positions first_positions(const std::vector<domain::PartitionId>& ids) override
    {
        app::Positions first;
        for (const auto& id : ids) first.emplace(id, 0);
        return first;
    }

    void close() override
    {
        if (assigned_) listener_->revoked(false);
        closed = true;
    }

private:
    Listener* listener_ = nullptr;
    bool assigned_ = false;
    app::Positions next_;
};

// Log and positions in one, as the database is. `fault` may refuse a batch; what it returns is answered.
class MemoryLog final : public app::StreamLog, public app::PositionStore {
public:
    std::vector<std::string> payloads;
    std::vector<app::QuarantinedMessage> kept;
    app::Positions positions;
    std::vector<std::size_t> batches;
    std::function<std::optional<app::AppendResult>(MemoryLog&, const app::StreamBatch&)> fault;
    int failing_reads = 0;

    void append_stream(std::shared_ptr<const app::StreamBatch> batch, app::EventLog::Done done) override
    {
        if (fault) {
            if (auto answer = fault(*this, *batch)) return done(std::move(*answer));
        }
        if (!stands_at_start(*batch)) return done({app::AppendRefusal::superseded, {}});
        done({std::nullopt, store(*batch)});
    }

    app::AppendedEvents store(const app::StreamBatch& batch)
    {
        for (const auto& event : batch.events) payloads.push_back(event.payload);
        for (const auto& message : batch.quarantined) kept.push_back(message);
        for (const auto& step : batch.steps) positions[step.partition] = step.to;
        batches.push_back(batch.events.size());
        return app::AppendedEvents(batch.events.size(), domain::IngestAnswer{});
    }

    app::Positions read(const std::string&, const std::vector<domain::PartitionId>& ids) override
    {
        if (failing_reads-- > 0) throw std::runtime_error("down");
        app::Positions found;
        for (const auto& id : ids) {
            if (positions.contains(id)) found.emplace(id, positions.at(id));
        }
        return found;
    }

    void begin(const std::string&, const app::Positions& first) override
    {
        for (const auto& [id, offset] : first) positions.try_emplace(id, offset);
    }

private:
    bool stands_at_start(const app::StreamBatch& batch) const
    {
        for (const auto& step : batch.steps) {
            if (positions.at(step.partition) != step.from) return false;
        }
        return true;
    }
};

class ScriptedRecords final : public app::RecordDecoder {
public:
    int unavailable = 0;

    app::RecordResult decode(std::string_view frame) override
    {
        if (unavailable-- > 0) return app::RegistryUnavailable{};
        if (frame.size() < 2) return app::RecordFault{domain::RejectReason::short_frame, "short"};
        return app::DecodedRecord{"city.Reading", std::string(frame.substr(1))};
    }
};

class CountingObserver final : public app::ConsumeObserver {
public:
    int stored_count = 0;
    int quarantined_count = 0;
    int troubles = 0;

    void stored(std::string_view, const domain::PreparedEvent&, const domain::IngestAnswer&) override
    {
        ++stored_count;
    }
    void quarantined(const app::QuarantinedMessage&) override { ++quarantined_count; }
    void committed(std::size_t, std::chrono::nanoseconds) override {}
    void trouble(std::string_view) override { ++troubles; }
};

}  // namespace fakes
