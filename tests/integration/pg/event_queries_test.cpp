#include "pg/event_queries.hpp"

#include "pg/connection.hpp"
#include "writing.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <set>

// Pages of events by filter and by cursor.
TEST_SUITE("infra/pg/event_queries")
{
    using namespace pg_support;
    using namespace std::chrono_literals;
    using domain::TimePoint;
    using domain::Uuid;
    using infra::pg::EventFilter;
    using infra::pg::EventPage;
    using infra::pg::read_events;
    using Ids = std::vector<Uuid>;

    // Base events of known times and services, oldest first.
    class Log {
    public:
        Log() : sql(infra::pg::connect(database.url(), {"polis-api queries"})), session_(database.session())
        {
        }

        Uuid add(TimePoint time, const std::string& service = "s", unsigned ordinal = 0)
        {
            const auto id =
                domain::family_member(domain::family_id(domain::id_tick_at(time), ++random_), ordinal);
            session_.execute("INSERT INTO events (id, derived_count, service, payload) VALUES ('" +
                             domain::to_string(id) + "', 0, '" + service + "', '{}')");
            return id;
        }

        EventPage page(const EventFilter& filter) { return read_events(*sql, filter); }
        Ids ids(const EventFilter& filter) { return page(filter).ids; }

        const Database database;
        const std::unique_ptr<soci::session> sql;

    private:
        Session session_;
        std::uint64_t random_ = 0;
    };

    // Within the partitions that every new database has.
    TimePoint an_hour_ago()
    {
        return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) - 1h;
    }

    Ids reversed(Ids ids)
    {
        std::reverse(ids.begin(), ids.end());
        return ids;
    }

    TEST_CASE("events come newest first, so many after so many")
    {
        Log log;
        CHECK(log.page({}).json == "[]");
        CHECK(log.ids({}).empty());
        Ids all;
        for (int i = 0; i < 7; ++i) all.push_back(log.add(an_hour_ago() + i * 1s));
        const auto newest_first = reversed(all);
        CHECK(log.ids({}) == newest_first);
        CHECK(log.ids({.limit = 3}) == Ids(newest_first.begin(), newest_first.begin() + 3));
        CHECK(log.ids({.limit = 3, .offset = 5}) == Ids(newest_first.begin() + 5, newest_first.end()));
        CHECK(log.ids({.limit = 0}).empty());
        CHECK(log.ids({.offset = 7}).empty());
        const auto page = log.page({.limit = 2});
        CHECK_FALSE(page.cut);
        const auto array = boost::json::parse(page.json).as_array();
        REQUIRE(array.size() == 2);
        CHECK(array[0].at("id").as_string() == domain::to_string(newest_first[0]));
        CHECK(array[1].at("id").as_string() == domain::to_string(newest_first[1]));
    }

    TEST_CASE("filters take what matches and nothing else")
    {
        Log log;
        const auto start = an_hour_ago();
        const auto a = log.add(start, "a");
        const auto b = log.add(start + 1ms, "b");
        const auto a_derived = log.add(start + 2ms, "a", 1);
        const auto a_late = log.add(start + 2ms + 500us, "a");

        CHECK(log.ids({.service = "a"}) == Ids{a_late, a_derived, a});
        CHECK(log.ids({.service = "b"}) == Ids{b});
        CHECK(log.ids({.service = "A"}).empty());
        CHECK(log.ids({.service = "' OR true --"}).empty());
        CHECK(log.ids({.since = start + 1ms}) == Ids{a_late, a_derived, b});
        CHECK(log.ids({.until = start + 1ms}) == Ids{a});
        CHECK(log.ids({.since = start + 1ms, .until = start + 2ms}) == Ids{b});
        // Ids know milliseconds; a finer time means the next whole one.
        CHECK(log.ids({.since = start + 1us}) == Ids{a_late, a_derived, b});
        CHECK(log.ids({.until = start + 1us}) == Ids{a});
        CHECK(log.ids({.since = start + 1ms, .until = start}).empty());
        CHECK(log.ids({.service = "a", .since = start + 1ms}) == Ids{a_late, a_derived});
        CHECK(log.ids({.since = TimePoint{}}).size() == 4);
        CHECK(log.ids({.until = TimePoint{}}).empty());
        CHECK(log.ids({.since = domain::parse_time("9999-12-31T23:59:59Z")}).empty());
        CHECK(log.ids({.until = domain::parse_time("9999-12-31T23:59:59Z")}).size() == 4);
    }

    TEST_CASE("the derived events of one event are found by it")
    {
        Log log;
        Writer writer({.database_url = log.database.url()});
        auto base = event("health");
        base.derived = {derived("notify", "n"), derived("bus", "b")};
        const auto one = stored_one(append(writer.log, base));
        const auto two = stored_one(append(writer.log, base));
        CHECK(log.ids({.source_event_id = one.event_id}) == Ids{one.derived[1], one.derived[0]});
        CHECK(log.ids({.service = "bus", .source_event_id = two.event_id}) == Ids{two.derived[1]});
        CHECK(log.ids({.source_event_id = one.derived[1]}) == Ids{one.derived[1], one.derived[0]});
        CHECK(log.ids({}).size() == 6);
    }

    // Every page from the newest event down, with something that happens between two pages.
    template <class Between>
    Ids walk_down(Log & log, std::int64_t limit, Between between)
    {
        Ids seen;
        EventFilter filter{.limit = limit};
        while (true) {
            const auto page = log.ids(filter);
            if (page.empty()) return seen;
            seen.insert(seen.end(), page.begin(), page.end());
            filter.older_than = page.back();
            between();
        }
    }

    TEST_CASE("a walk by cursor sees every event once while others are stored")
    {
        Log log;
        Ids all;
        for (int i = 0; i < 23; ++i) all.push_back(log.add(an_hour_ago() + i * 1ms));
        int more = 0;
        const auto seen = walk_down(log, 5, [&] { log.add(an_hour_ago() + 1min + (++more) * 1ms); });
        CHECK(more == 5);
        CHECK(seen == reversed(all));
    }

    TEST_CASE("a cursor upwards gives the events next to it, newest first")
    {
        Log log;
        Ids all;
        for (int i = 0; i < 9; ++i)
            all.push_back(log.add(an_hour_ago() + i * 1ms, i % 2 == 0 ? "even" : "odd"));
        CHECK(log.ids({.limit = 3, .newer_than = all[1]}) == Ids{all[4], all[3], all[2]});
        CHECK(log.ids({.limit = 2, .service = "odd", .newer_than = all[1]}) == Ids{all[5], all[3]});
        CHECK(log.ids({.limit = 3, .newer_than = all[7]}) == Ids{all[8]});
        CHECK(log.ids({.limit = 3, .newer_than = all[8]}).empty());
        CHECK(log.ids({.limit = 3, .older_than = all[0]}).empty());
        CHECK(log.ids({.older_than = all[5], .newer_than = all[2]}) == Ids{all[4], all[3]});
        const auto page = log.page({.limit = 3, .newer_than = all[1]});
        CHECK(boost::json::parse(page.json).as_array()[0].at("id").as_string() == domain::to_string(all[4]));
    }

    TEST_CASE("a cursor at the end of all ids has nothing behind it")
    {
        Log log;
        const auto only = log.add(an_hour_ago());
        const Uuid lowest{};
        Uuid highest;
        std::fill(highest.begin(), highest.end(), static_cast<std::uint8_t>(0xFF));
        CHECK(log.ids({.older_than = lowest}).empty());
        CHECK(log.ids({.newer_than = highest}).empty());
        CHECK(log.ids({.older_than = highest}) == Ids{only});
        CHECK(log.ids({.newer_than = lowest}) == Ids{only});
    }

    TEST_CASE("a page of large events ends early, and its cursor goes on")
    {
        Log log;
        auto session = log.database.session();
        session.execute(
            "INSERT INTO events (id, derived_count, service, payload) SELECT "
            "(left(uuid7_floor(now() - interval '1 h')::text, 34) || lpad(to_hex(n), 2, '0'))::uuid, 0, "
            "'s', jsonb_build_object('x', repeat('x', 1000000)) FROM generate_series(1, 40) n");
        const auto page = log.page({.limit = 100});
        CHECK(page.cut);
        CHECK(page.ids.size() == 34);  // the first that goes beyond 32 MiB is still there
        CHECK(boost::json::parse(page.json).as_array().size() == 34);
        const auto rest = log.page({.limit = 100, .older_than = page.ids.back()});
        CHECK_FALSE(rest.cut);
        CHECK(rest.ids.size() == 6);
    }
}
