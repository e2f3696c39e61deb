#include "http/loop.hpp"

#include "http/session.hpp"
#include "infra/log/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <utility>
#include <vector>

namespace infra::http {

namespace {

// One timer for all sessions instead of one timer operation for each read and write; so a deadline is late by
// at most this.
constexpr std::chrono::milliseconds watch_interval{50};

}  // namespace

Loop::Loop(Shared& shared)
    : shared_(shared),
      work_(context_.get_executor()),
      completions_(std::make_shared<Completions>(*this)),
      watch_(context_.get_executor())
{
}

Loop::~Loop() { completions_->close(); }

void Loop::run()
{
    completions_->bind_to_this_thread();
    for (;;) {
        try {
            context_.run();
            return;
        } catch (...) {
            log_error("http loop: unexpected exception");  // the loop goes on with its other sessions
        }
    }
}

void Loop::adopt(Socket socket)
{
    const std::uint64_t id = ++last_session_;
    auto session = std::make_shared<Session>(*this, std::move(socket), id);
    sessions_.emplace(id, session);
    auto done = [this, session, id](const std::exception_ptr& failure) {
        if (failure) log_error("http session failed");
        finish(id);
    };
    net::co_spawn(context_.get_executor(), session->run(), std::move(done));
    watch_deadlines();
}

void Loop::drain(Clock::time_point cut_at)
{
    draining_ = true;
    cut_at_ = cut_at;
    for (const auto& [id, session] : sessions_) session->drain();
    check_deadlines();
    end_if_drained();
}

void Loop::deliver(RequestId id, Response&& response)
{
    const auto found = sessions_.find(id.session);
    if (found != sessions_.end()) found->second->complete(id.number, std::move(response));
}

std::string_view Loop::date()
{
    const std::time_t now = std::time(nullptr);
    if (now != date_second_) {
        // Not strftime: its names of days and months follow the locale.
        constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        std::tm utc{};
        gmtime_r(&now, &utc);
        std::array<char, 24> rest{};
        const std::size_t size = std::strftime(rest.data(), rest.size(), " %Y %H:%M:%S GMT", &utc);
        const std::string day = std::to_string(utc.tm_mday);
        date_ = days.at(static_cast<std::size_t>(utc.tm_wday));
        date_ += day.size() == 1 ? ", 0" : ", ";
        date_ += day;
        date_ += ' ';
        date_ += months.at(static_cast<std::size_t>(utc.tm_mon));
        date_.append(rest.data(), size);
        date_second_ = now;
    }
    return date_;
}

void Loop::finish(std::uint64_t session)
{
    sessions_.erase(session);
    --shared_.connections;
    end_if_drained();
}

void Loop::end_if_drained()
{
    if (!draining_ || !sessions_.empty()) return;
    work_.reset();
    watch_.cancel();
}

void Loop::watch_deadlines()
{
    if (watching_ || sessions_.empty()) return;
    watching_ = true;
    watch_.expires_after(watch_interval);
    watch_.async_wait([this](const boost::system::error_code& ec) {
        watching_ = false;
        if (ec) return;
        check_deadlines();
        watch_deadlines();
    });
}

void Loop::check_deadlines()
{
    const Clock::time_point now = Clock::now();
    for (const auto& [id, session] : sessions_) {
        if (now >= cut_at_ || now >= session->deadline()) session->cut();
    }
}

}  // namespace infra::http
