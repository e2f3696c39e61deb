#include "infra/pg/position_store.hpp"

#include "failpoint.hpp"
#include "infra/log/log.hpp"
#include "pg/connection.hpp"

#include <type_traits>

namespace infra::pg {
namespace {

class PgPositionStore final : public app::PositionStore {
public:
    explicit PgPositionStore(std::string database_url) : url_(std::move(database_url)) {}

    app::Positions read(const std::string& group, const std::vector<domain::PartitionId>& partitions) override
    {
        return run([&](soci::session& session) {
            app::Positions found;
            for (const auto& id : partitions) {
                long long next = 0;
                session
                    << "SELECT next_offset FROM kafka_offsets WHERE consumer_group = :g AND topic = :t AND "
                       "partition = :p",
                    soci::into(next), soci::use(group), soci::use(id.topic), soci::use(id.number);
                if (session.got_data()) found.emplace(id, next);
            }
            return found;
        });
    }

    void begin(const std::string& group, const app::Positions& first) override
    {
        run([&](soci::session& session) {
            for (const auto& [id, offset] : first) {
                const long long next = offset;
                session << "INSERT INTO kafka_offsets (consumer_group, topic, partition, next_offset) VALUES "
                           "(:g, :t, :p, :o) ON CONFLICT DO NOTHING",
                    soci::use(group), soci::use(id.topic), soci::use(id.number), soci::use(next);
                failpoint("consumer.began");
            }
            return true;
        });
    }

private:
    // Once more over a fresh connection when the old one turns out to be dead.
    template <class Work>
    std::invoke_result_t<Work, soci::session&> run(const Work& work)
    {
        for (bool fresh = false;;) {
            try {
                if (!session_) {
                    fresh = true;
                    session_ =
                        connect(url_, {.application_name = "polis-consumer positions", .only_lookups = true});
                }
                try {
                    return work(*session_);
                } catch (const soci::soci_error& error) {
                    rethrow_as_sql_error(error);
                }
            } catch (const SqlError& error) {
                session_.reset();
                if (!fresh) continue;
                log_error("positions not read", {{"sqlstate", error.sqlstate()}, {"reason", error.what()}});
                throw;
            }
        }
    }

    const std::string url_;
    std::unique_ptr<soci::session> session_;
};

}  // namespace

std::unique_ptr<app::PositionStore> make_position_store(std::string database_url)
{
    return std::make_unique<PgPositionStore>(std::move(database_url));
}

}  // namespace infra::pg
