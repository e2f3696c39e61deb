#pragma once

#include "app/ports/subscription_source.hpp"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

namespace app {

// One subscription at work. run() returns after stop(), or by itself when it was told to drain.
class Delivery {
public:
    virtual ~Delivery() = default;
    virtual void run() = 0;
    virtual void wake() = 0;
    virtual void stop() = 0;
    virtual bool healthy() const = 0;
};

// Serves every subscription on a thread of its own, with a sink and a connection of its own: what is slow or
// dead delays only itself. Follows what is added, changed and removed.
class DeliveryFleet {
public:
    // Throws when the subscription cannot be served; that is told, and tried again with the next change.
    using Make = std::function<std::unique_ptr<Delivery>(const Subscription&)>;
    using Fault = std::function<void(std::string_view subscription, std::string_view reason)>;

    DeliveryFleet(SubscriptionSource& source, Make make, Fault fault, bool until_empty);

    // Returns after stop(), or when every subscription is drained with until_empty.
    void run();
    void wake();
    void stop();
    bool healthy() const;

private:
    struct Member {
        std::unique_ptr<Delivery> delivery;
        std::int64_t revision = 0;
        std::thread thread = {};
        std::atomic<bool> ended = false;
    };

    void follow(const std::vector<Subscription>& wanted);
    void start(const Subscription& subscription);
    void reap(bool all);
    void finish();
    bool drained();

    SubscriptionSource& source_;
    const Make make_;
    const Fault fault_;
    const bool until_empty_;

    mutable std::mutex mutex_;  // of members_ and stopping_
    std::condition_variable wake_;
    std::map<std::int16_t, std::unique_ptr<Member>> members_;
    std::map<std::int16_t, std::int64_t> refused_;  // revisions that could not be served
    bool stopping_ = false;
    std::atomic<bool> listed_ = false;
};

}  // namespace app
