#include "app/deliver_outbox.hpp"
#include "delivering.hpp"
#include "writing.hpp"

#include <atomic>
#include <random>
#include <set>

// Several writers and several workers at once: no lane ever skips a row, and the messages of a key arrive in
// the order of their commits.
TEST_SUITE("infra/pg/race")
{
    using namespace pg_support;
    using namespace std::chrono_literals;

    constexpr unsigned seed = 20'261'121;
    constexpr int writers = 4;
    constexpr int requests_per_writer = 400;
    constexpr int keys = 60;

    // What arrived, in order, over all workers.
    class Arrivals {
    public:
        void add(const domain::OutboxMessage& message)
        {
            const std::lock_guard lock(mutex_);
            ++count_;
            if (seen_.insert(message.seq).second) by_key_[message.key_hash].push_back(message.seq);
        }

        std::size_t count() const
        {
            const std::lock_guard lock(mutex_);
            return count_;
        }

        std::set<std::int64_t> seen() const
        {
            const std::lock_guard lock(mutex_);
            return seen_;
        }

        // How many keys have a message that first arrived after a later one.
        long keys_out_of_order() const
        {
            const std::lock_guard lock(mutex_);
            return std::count_if(by_key_.begin(), by_key_.end(), [](const auto& entry) {
                return !std::is_sorted(entry.second.begin(), entry.second.end());
            });
        }

    private:
        mutable std::mutex mutex_;
        std::size_t count_ = 0;
        std::set<std::int64_t> seen_;
        std::map<std::int64_t, Seqs> by_key_;
    };

    // Takes everything at once, but fails one in `fails_one_in` tries.
    class RecordingSink final : public app::MessageSink {
    public:
        RecordingSink(Arrivals& arrivals, unsigned fails_one_in, unsigned random_seed)
            : arrivals_(arrivals), fails_one_in_(fails_one_in), random_(random_seed)
        {
        }

        void send(const domain::OutboxMessage& message, Done done) override
        {
            if (fails_one_in_ > 0 && random_() % fails_one_in_ == 0) {
                done({domain::Verdict::retry, "not now"});
                return;
            }
            arrivals_.add(message);
            done({});
        }
        void stop() override {}

    private:
        Arrivals& arrivals_;
        const unsigned fails_one_in_;
        std::mt19937 random_;
    };

    class Worker {
    public:
        Worker(const Database& database, Arrivals& arrivals, unsigned fails_one_in, unsigned number)
            : store_(open_store(database)),
              sink_(arrivals, fails_one_in, seed + number),
              delivery_(
                  *store_, sink_, options(), [] { return 0.5; }, [](domain::Verdict) {},
                  [this](std::string_view) { ++faults; }),
              thread_([this] { delivery_.run(); })
        {
        }
        ~Worker() { stop(); }

        void stop()
        {
            delivery_.stop();
            if (thread_.joinable()) thread_.join();
        }

        std::atomic<int> faults = 0;

    private:
        static app::DeliveryOptions options()
        {
            app::DeliveryOptions options;
            options.retry = {1000, 4ms, 8ms};
            options.limits.window_rows_max = 50;
            options.poll_interval = 5ms;
            return options;
        }

        StorePtr store_;
        RecordingSink sink_;
        app::DeliverOutbox delivery_;
        std::thread thread_;
    };

    std::vector<domain::PreparedEvent> random_request(std::mt19937 & random)
    {
        std::vector<domain::PreparedEvent> events(random() % 3 + 1, event("health"));
        for (auto& one : events) {
            for (auto n = random() % 3; n > 0; --n)
                one.derived.push_back(derived("bus", "key_" + std::to_string(random() % keys)));
        }
        return events;
    }

    // Appends with a few requests in flight; returns how many were not stored.
    int write_some(const std::string& url, unsigned number)
    {
        Writer writer({.database_url = url, .batch_rows_max = 20});
        std::mt19937 random(seed + number);
        std::vector<Pending> pending;
        int failures = 0;
        const auto settle_all = [&] {
            for (auto& one : pending) failures += result_of(one).refusal ? 1 : 0;
            pending.clear();
        };
        for (int i = 0; i < requests_per_writer; ++i) {
            pending.push_back(append(writer.log, random_request(random)));
            if (pending.size() > random() % 12) settle_all();
        }
        settle_all();
        return failures;
    }

    // A writer that knows nothing of the fence, and is slow between its rows and its COMMIT.
    void write_naively(Session session, const std::atomic<bool>& stop)
    {
        const auto put = [&](int lane, int number) {
            put_message(session, lane, 1'000'000 + lane, number);  // a key lives in one lane
        };
        for (int i = 0; !stop; ++i) {
            session.execute("BEGIN");
            put(i % domain::lane_count, i);
            session.execute("SELECT pg_sleep(0.003)");
            put((i + 3) % domain::lane_count, i);
            session.execute("COMMIT");
            std::this_thread::sleep_for(1ms);
        }
    }

    template <class Meanwhile>
    int write_all(const Database& database, Meanwhile meanwhile)
    {
        std::atomic<bool> stop = false;
        std::atomic<int> failures = 0;
        std::atomic<int> running = writers;
        std::thread naive([&] { write_naively(database.session(), stop); });
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < writers; ++i) {
            threads.emplace_back([&, i] {
                failures += write_some(database.url(), i);
                --running;
            });
        }
        while (running > 0) meanwhile();
        for (auto& thread : threads) thread.join();
        stop = true;
        naive.join();
        return failures;
    }

    std::set<std::int64_t> stored_seqs(Session & session)
    {
        std::set<std::int64_t> seqs;
        for (const auto& seq : session.column("SELECT seq FROM outbox")) seqs.insert(std::stoll(seq));
        return seqs;
    }

    void wait_for_all(const Arrivals& arrivals, const std::set<std::int64_t>& stored)
    {
        eventually("every stored message arrives", [&] { return arrivals.seen().size() >= stored.size(); });
        CHECK(arrivals.seen() == stored);
    }

    // Everything stored has arrived, once and in order, and no worker met a fault. Returns how much it was.
    std::size_t check_arrivals(Session & session, const Arrivals& arrivals,
                               const std::vector<std::unique_ptr<Worker>>& workers)
    {
        const auto stored = stored_seqs(session);
        wait_for_all(arrivals, stored);
        for (const auto& worker : workers) {
            worker->stop();
            CHECK(worker->faults == 0);
        }
        CHECK(arrivals.count() == stored.size());
        CHECK(arrivals.keys_out_of_order() == 0);
        CHECK(session.rows("SELECT status, count(*) FROM outbox_messages GROUP BY 1") ==
              Rows{{"sent", std::to_string(stored.size())}});
        return stored.size();
    }

    TEST_CASE("four writers and three workers: everything arrives once and in order")
    {
        const Database database;
        auto session = database.session();
        Arrivals arrivals;
        std::vector<std::unique_ptr<Worker>> workers;
        const auto hire = [&] {
            workers.push_back(
                std::make_unique<Worker>(database, arrivals, 0, static_cast<unsigned>(workers.size())));
        };
        hire();
        hire();
        int rounds = 0;
        CHECK(write_all(database, [&] {
                  std::this_thread::sleep_for(20ms);
                  if (++rounds == 10) hire();                 // lanes move to it,
                  if (rounds == 30) workers.front()->stop();  // and away from this one
              }) == 0);
        CHECK(check_arrivals(session, arrivals, workers) > 1000);
        CHECK(session.number("SELECT count(*) FROM lane_cursors WHERE owner IS NOT NULL") == 0);
        CHECK(session.number("SELECT count(*) FROM outbox_workers") == 0);
    }

    TEST_CASE("messages that fail arrive later, and no key gets out of order")
    {
        const Database database;
        auto session = database.session();
        Arrivals arrivals;
        std::vector<std::unique_ptr<Worker>> workers;
        for (unsigned i = 0; i < 2; ++i)
            workers.push_back(std::make_unique<Worker>(database, arrivals, 10, i));
        CHECK(write_all(database, [] { std::this_thread::sleep_for(20ms); }) == 0);
        check_arrivals(session, arrivals, workers);
        CHECK(session.number("SELECT count(*) FROM outbox_retries WHERE attempts > 0") > 0);
    }

    TEST_CASE("workers that lose their connections lose no message and no order")
    {
        const Database database;
        auto session = database.session();
        Arrivals arrivals;
        std::vector<std::unique_ptr<Worker>> workers;
        for (unsigned i = 0; i < 2; ++i)
            workers.push_back(std::make_unique<Worker>(database, arrivals, 0, i));
        CHECK(write_all(database, [&] {
                  database.terminate("polis-outbox-worker");
                  std::this_thread::sleep_for(300ms);
              }) == 0);
        const auto stored = stored_seqs(session);
        wait_for_all(arrivals, stored);
        int faults = 0;
        for (auto& worker : workers) {
            worker->stop();
            faults += worker->faults;
        }
        CHECK(faults > 0);
        CHECK(arrivals.keys_out_of_order() == 0);
        CHECK(session.rows("SELECT status, count(*) FROM outbox_messages GROUP BY 1") ==
              Rows{{"sent", std::to_string(stored.size())}});
    }
}
