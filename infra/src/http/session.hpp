#pragma once

#include "http/guard.hpp"
#include "http/loop.hpp"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace infra::http {

// One connection: reads, has answered and writes one request after the other, so that pipelined requests are
// answered in order. Lives on the thread of its loop.
class Session {
public:
    Session(Loop& loop, Socket socket, std::uint64_t id);

    Awaitable<void> run();

    // The answer to request `number`; ignored when that one is answered already.
    void complete(std::uint64_t number, Response&& response);

    Clock::time_point deadline() const { return deadline_; }
    void drain();  // ends an idle session; a busy one ends after its answer
    void cut();    // ends it wherever it is

private:
    enum class Received { request, refused, closed };
    struct Answer {
        Response response;
        std::string_view method;
        std::string_view route;
        Clock::time_point since;
        bool keep_alive = false;
    };

    Awaitable<bool> serve_one();
    Awaitable<Received> receive();
    Awaitable<Received> receive_header();
    Awaitable<Received> receive_body();
    Awaitable<bool> fill(std::size_t bytes);
    Awaitable<bool> wait_for_first_byte();
    Awaitable<bool> send();
    Awaitable<bool> send_continue();
    Awaitable<bool> wait_for_response();
    Awaitable<void> linger();
    void hand_over(const TakeOver& take_over);

    Received refuse(unsigned status, std::string detail);
    Received refuse_parse_error(const boost::system::error_code& ec);
    std::optional<std::size_t> complete_header(std::optional<Refusal>& refusal) const;
    Received take_header();
    void dispatch(Answer& answer);
    void call_handler(Match&& match);
    void report(const Answer& answer) const;

    std::string_view buffered() const;
    RequestLine request_line() const;
    void allow(std::chrono::milliseconds time) { deadline_ = Clock::now() + time; }

    Loop& loop_;
    const ServerOptions& options_;
    Socket socket_;
    const std::uint64_t id_;
    Timer wake_;
    boost::beast::flat_buffer buffer_;  // outlives a request: it holds what the client has pipelined
    std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
    Request request_;
    std::optional<Refusal> refusal_;
    std::optional<Response> response_;
    std::string out_;
    Clock::time_point deadline_ = Clock::time_point::max();
    std::uint64_t number_ = 0;  // of the current request
    bool idle_ = false;
    bool waiting_ = false;
    bool ended_by_client_ = false;
    bool cut_ = false;
};

}  // namespace infra::http
