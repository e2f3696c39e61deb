#pragma once

#include "app/ports/stream_log.hpp"
#include "domain/stream.hpp"

#include <chrono>
#include <optional>
#include <vector>

namespace app {

// A consumer group's member. All calls come from one thread; the listener is called from within poll() and
// close().
class MessageSource {
public:
    class Listener {
    public:
        virtual ~Listener() = default;
        // Where to start reading. Blocks until that is known; empty = the program is stopping.
        virtual Positions assigned(const std::vector<domain::PartitionId>& partitions) = 0;
        // All partitions are taken away. `lost`: others may read them already.
        virtual void revoked(bool lost) = 0;
    };

    virtual ~MessageSource() = default;
    virtual void subscribe(Listener& listener) = 0;
    virtual std::optional<domain::StreamMessage> poll(std::chrono::milliseconds wait) = 0;
    virtual void pause(const domain::PartitionId& partition) = 0;
    virtual void resume(const domain::PartitionId& partition) = 0;
    // What was fetched before is discarded. False = try again.
    virtual bool seek(const Positions& positions) = 0;
    // Tells the broker how far the group is, for tools that show lag; nothing is read from it but by
    // first_positions. `wait`: before the partitions are given up.
    virtual void commit(const Positions& positions, bool wait) = 0;
    // Where a group without stored positions begins: where the broker says it was, else by configuration.
    // Throws when the broker is not reachable.
    virtual Positions first_positions(const std::vector<domain::PartitionId>& partitions) = 0;
    // Gives the partitions up and leaves the group.
    virtual void close() = 0;
};

}  // namespace app
