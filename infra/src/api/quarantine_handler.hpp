#pragma once

#include "app/decode_message.hpp"
#include "app/ports/event_log.hpp"
#include "infra/config/config.hpp"
#include "infra/http/message.hpp"
#include "infra/kafka/avro_decoder.hpp"
#include "pg/quarantine_queries.hpp"
#include "pg/query_pool.hpp"

#include <mutex>

namespace infra::api {

// What could not become an event: list it, show it, and try it again with the configuration of now.
// Everything it refers to must outlive every request.
class QuarantineHandler {
public:
    QuarantineHandler(const Config& config, const app::PrepareEvent& prepare, app::EventLog& log,
                      pg::QueryPool& pool);

    void list(const http::Request& request, const http::Reply& reply) const;
    void show(const http::Request& request, const http::Reply& reply) const;
    void bytes(const http::Request& request, const http::Reply& reply) const;
    void retry(const http::Request& request, const http::Reply& reply);
    void retry_matching(const http::Request& request, const http::Reply& reply);

private:
    app::Decoded decode(const pg::KeptMessage& kept);
    void store_one(const pg::KeptMessage& kept, const http::Reply& reply);
    void store_all(const std::vector<pg::KeptMessage>& kept, bool full, const http::Reply& reply);
    void remove(std::vector<domain::Uuid> ids, const http::Reply& reply,
                const http::Response& response) const;

    const app::PrepareEvent& prepare_;
    app::EventLog& log_;
    pg::QueryPool& pool_;
    const domain::RouteTable routes_;
    const std::size_t value_bytes_max_;
    std::mutex records_mutex_;  // the pool has several threads, the decoder serves one
    kafka::AvroDecoder records_;
};

}  // namespace infra::api
