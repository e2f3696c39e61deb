#pragma once

#include "app/ports/outbox_store.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace infra::pg {

enum class LaneShare {
    fair,        // lanes divided by living workers
    everything,  // every lane that is free, for a worker that drains and leaves
};

// With `topics`, exact ones, read() leaves out what has another, except a row of each lane that tells how far
// it is read; a subscription to some topics of many then costs the server a look at each row, and nothing
// else.
std::unique_ptr<app::OutboxStore> make_outbox_store(const std::string& database_url,
                                                    std::int16_t subscription, LaneShare share,
                                                    const std::vector<std::string>& topics = {});

// Calls `wake` for every notification of the writer, on a thread and connection of its own. Only a hint:
// polling finds everything.
class OutboxListener {
public:
    OutboxListener(const std::string& database_url, std::function<void()> wake);
    ~OutboxListener();
    OutboxListener(const OutboxListener&) = delete;
    OutboxListener& operator=(const OutboxListener&) = delete;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra::pg
