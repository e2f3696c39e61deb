#include "infra/log/log.hpp"
#include "infra/pg/outbox_store.hpp"
#include "pg/connection.hpp"

#include <atomic>
#include <poll.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

namespace infra::pg {

class OutboxListener::Impl {
public:
    Impl(std::string url, std::function<void()> wake)
        : url_(std::move(url)),
          wake_(std::move(wake)),
          stop_fd_(eventfd(0, EFD_CLOEXEC)),
          thread_([this] { loop(); })
    {
    }

    ~Impl()
    {
        const std::uint64_t one = 1;
        stopping_ = true;
        if (write(stop_fd_, &one, sizeof one) < 0) log_warning("listener not woken");
        thread_.join();
        close(stop_fd_);
    }

private:
    static constexpr int reconnect_pause_ms = 1000;

    void loop()
    {
        while (!stopping_) {
            try {
                listen();
            } catch (const std::exception& error) {
                log_warning("not listening for new messages", {{"reason", error.what()}});
                pollfd stop{stop_fd_, POLLIN, 0};
                poll(&stop, 1, reconnect_pause_ms);
            }
        }
    }

    void listen()
    {
        const auto session = connect(url_, {"polis-outbox-worker listener"});
        PGconn* connection = native(*session);
        const Result result(PQexec(connection, "LISTEN polis_outbox"));
        if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) throw ConnectionLost("", "LISTEN failed");
        wake_();  // for what was committed while nobody listened
        while (!stopping_) {
            pollfd fds[] = {{PQsocket(connection), POLLIN, 0}, {stop_fd_, POLLIN, 0}};
            poll(fds, 2, -1);
            if (PQconsumeInput(connection) != 1) throw ConnectionLost("", "the connection was lost");
            bool notified = false;
            while (PGnotify* notification = PQnotifies(connection)) {
                PQfreemem(notification);
                notified = true;
            }
            if (notified) wake_();
        }
    }

    const std::string url_;
    const std::function<void()> wake_;
    const int stop_fd_;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

OutboxListener::OutboxListener(const std::string& database_url, std::function<void()> wake)
    : impl_(std::make_unique<Impl>(database_url, std::move(wake)))
{
}

OutboxListener::~OutboxListener() = default;

}  // namespace infra::pg
