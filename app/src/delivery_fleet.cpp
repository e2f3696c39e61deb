#include "app/delivery_fleet.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

namespace app {
namespace {

// A change of a subscription is served within this time.
constexpr auto look_interval = std::chrono::milliseconds(500);

}  // namespace

DeliveryFleet::DeliveryFleet(SubscriptionSource& source, Make make, Fault fault, bool until_empty)
    : source_(source), make_(std::move(make)), fault_(std::move(fault)), until_empty_(until_empty)
{
}

void DeliveryFleet::run()
{
    while (true) {
        try {
            follow(source_.enabled());
            listed_ = true;
        } catch (const std::exception& error) {
            // Those that run go on; they have connections of their own.
            listed_ = false;
            fault_("", error.what());
        }
        if (until_empty_ && listed_ && drained()) break;
        std::unique_lock lock(mutex_);
        if (wake_.wait_for(lock, look_interval, [this] { return stopping_; })) break;
    }
    finish();
}

void DeliveryFleet::follow(const std::vector<Subscription>& wanted)
{
    const auto find = [&wanted](std::int16_t id) {
        return std::find_if(wanted.begin(), wanted.end(), [id](const auto& s) { return s.id == id; });
    };
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [id, member] : members_) {
            const auto subscription = find(id);
            if (subscription == wanted.end() || subscription->revision != member->revision)
                member->delivery->stop();
        }
    }
    reap(false);
    for (const auto& subscription : wanted) {
        // One that was changed is started when its older form has ended.
        const auto refused = refused_.find(subscription.id);
        const bool hopeless = refused != refused_.end() && refused->second == subscription.revision;
        if (!members_.contains(subscription.id) && !hopeless) start(subscription);
    }
}

void DeliveryFleet::start(const Subscription& subscription)
{
    auto member = std::make_unique<Member>();
    try {
        member->delivery = make_(subscription);
    } catch (const std::exception& error) {
        refused_[subscription.id] = subscription.revision;
        fault_(subscription.name, error.what());
        return;
    }
    member->revision = subscription.revision;
    member->thread = std::thread([this, at = member.get(), name = subscription.name] {
        try {
            at->delivery->run();
        } catch (const std::exception& error) {
            fault_(name, error.what());
        }
        at->ended = true;
    });
    const std::lock_guard lock(mutex_);
    if (stopping_) member->delivery->stop();
    members_.emplace(subscription.id, std::move(member));
}

// With until_empty a member that ended stays, or it would be started again.
void DeliveryFleet::reap(bool all)
{
    std::vector<std::unique_ptr<Member>> ended;
    {
        const std::lock_guard lock(mutex_);
        for (auto at = members_.begin(); at != members_.end();) {
            if (!all && (until_empty_ || !at->second->ended)) {
                ++at;
                continue;
            }
            ended.push_back(std::move(at->second));
            at = members_.erase(at);
        }
    }
    for (const auto& member : ended) member->thread.join();
}

bool DeliveryFleet::drained()
{
    const std::lock_guard lock(mutex_);
    return std::all_of(members_.begin(), members_.end(),
                       [](const auto& m) { return m.second->ended.load(); });
}

void DeliveryFleet::finish()
{
    listed_ = false;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        for (const auto& [id, member] : members_) member->delivery->stop();
    }
    reap(true);
}

void DeliveryFleet::wake()
{
    const std::lock_guard lock(mutex_);
    for (const auto& [id, member] : members_) member->delivery->wake();
}

void DeliveryFleet::stop()
{
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& [id, member] : members_) member->delivery->stop();
    wake_.notify_all();
}

bool DeliveryFleet::healthy() const
{
    const std::lock_guard lock(mutex_);
    return listed_ && !stopping_ && std::all_of(members_.begin(), members_.end(), [](const auto& m) {
               return m.second->delivery->healthy();
           });
}

}  // namespace app
