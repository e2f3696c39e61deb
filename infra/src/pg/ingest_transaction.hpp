#pragma once

#include "app/ports/stream_log.hpp"
#include "domain/ingest.hpp"
#include "domain/workflow/batch.hpp"
#include "pg/connection.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace infra::pg {

// Stores batches of prepared events, each in one transaction of two round trips: the fence with the lookup of
// keys, then the rows with the commit. One connection, one thread.
class IngestTransaction {
public:
    enum class End { commit, rollback };

    // Connects and prepares. Throws SqlError.
    // `workflows` may be null where no event has triggers.
    IngestTransaction(const std::string& database_url, const domain::workflow::Registry* workflows);

    // Throws SqlError; PositionMoved where `stream` does not start at the stored positions. `committing()`
    // tells whether a connection that was lost may have committed.
    std::vector<domain::IngestAnswer> run(std::span<const domain::PreparedEvent* const> batch, End end,
                                          bool notify, const app::StreamBatch* stream = nullptr);
    bool committing() const { return committing_; }

    // Brings the connection back out of a failed transaction.
    void rollback();
    void make_partitions();

private:
    using Workflows = std::optional<domain::workflow::Batch>;

    domain::IngestPlan plan(std::span<const domain::PreparedEvent* const> batch,
                            const app::StreamBatch* stream, Workflows& workflows);
    void send_steps(const app::StreamBatch& stream);
    void send_quarantine(const app::StreamBatch& stream);
    domain::KnownKeys read_keys(const PGresult* requests, const PGresult* derived) const;
    void send_rows(const domain::IngestPlan& plan);

    const domain::workflow::Registry* const registry_;
    std::unique_ptr<soci::session> session_;
    std::optional<Pipeline> pipeline_;
    bool committing_ = false;
};

}  // namespace infra::pg
