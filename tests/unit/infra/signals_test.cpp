#include "infra/signals.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <future>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;

TEST_SUITE("signals")
{
    TEST_CASE("a watch ends without a signal")
    {
        infra::block_stop_signals();
        bool stopped = false;
        {
            const infra::StopWatch watch([&stopped] { stopped = true; });
        }
        CHECK_FALSE(stopped);
    }

    TEST_CASE("the work may end while the watch still tells it to")
    {
        infra::block_stop_signals();
        std::promise<void> told;
        auto stopping = told.get_future();
        {
            const infra::StopWatch watch([&told] {
                told.set_value();
                std::this_thread::sleep_for(50ms);  // the work is over meanwhile, and the watch is ended
            });
            kill(getpid(), SIGTERM);
            CHECK(stopping.wait_for(30s) == std::future_status::ready);
        }
        // Had the end of the watch been a SIGTERM, this process would not be here.
    }
}
