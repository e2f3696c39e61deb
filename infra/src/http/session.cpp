#include "http/session.hpp"

#include "http/response_text.hpp"
#include "http/target.hpp"
#include "infra/log/log.hpp"

#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

namespace infra::http {

namespace beast_http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr std::size_t header_read_bytes = 4096;
constexpr std::size_t body_read_bytes = 65'536;
constexpr std::size_t buffered_bytes_max =
    262'144;  // for chunk extensions and trailers, which Beast collects
constexpr std::size_t out_bytes_kept = 65'536;
constexpr std::size_t linger_bytes_max = 65'536;
constexpr std::chrono::seconds linger_time{1};
constexpr std::string_view blank_line = "\r\n\r\n";

// Methods that a client invents must not become values of a metric.
std::string_view known_method(std::string_view method)
{
    const bool known =
        beast_http::string_to_verb({method.data(), method.size()}) != beast_http::verb::unknown;
    return known ? method : "other";
}

struct Target {
    std::string_view path;
    std::string_view query;
};

Target split_target(std::string_view target)
{
    const std::size_t mark = target.find('?');
    if (mark == std::string_view::npos) return Target{target, {}};
    return Target{target.substr(0, mark), target.substr(mark + 1)};
}

Response redirect(const Redirect& to, std::string_view query)
{
    Response response;
    response.status = 307;
    std::string location = to.location;
    if (!query.empty()) {
        location += '?';
        location += query;
    }
    response.headers.push_back(Header{"Location", std::move(location)});
    return response;
}

Response method_not_allowed(const MethodNotAllowed& routing)
{
    Response response = problem(405, "Method Not Allowed");
    response.headers.push_back(Header{"Allow", routing.allow});
    return response;
}

}  // namespace

Session::Session(Loop& loop, Socket socket, std::uint64_t id)
    : loop_(loop),
      options_(loop.shared().options),
      socket_(std::move(socket)),
      id_(id),
      wake_(socket_.get_executor(), Clock::time_point::max())
{
    error_code ignored;
    socket_.set_option(net::ip::tcp::no_delay(true), ignored);
    socket_.non_blocking(true, ignored);  // an answer usually fits into the socket at once
}

Awaitable<void> Session::run()
{
    while (co_await serve_one()) {
    }
    error_code ignored;
    socket_.shutdown(net::ip::tcp::socket::shutdown_send, ignored);
    socket_.close(ignored);
}

void Session::complete(std::uint64_t number, Response&& response)
{
    if (number != number_ || response_) return;
    response_ = std::move(response);
    if (waiting_) wake_.cancel();
}

void Session::drain()
{
    if (!idle_) return;
    error_code ignored;
    socket_.cancel(ignored);
}

void Session::cut()
{
    cut_ = true;
    error_code ignored;
    socket_.close(ignored);
    wake_.cancel();
}

Awaitable<bool> Session::serve_one()
{
    const Received received = co_await receive();
    if (received == Received::closed) co_return false;
    ++number_;
    Answer answer;
    answer.since = Clock::now();
    if (received == Received::refused) {
        answer.response = problem(refusal_->status, refusal_->detail);
        answer.method = known_method(request_line().method);
    } else {
        answer.keep_alive = parser_->keep_alive();
        answer.method = known_method(request_line().method);
        dispatch(answer);
        if (!co_await wait_for_response()) co_return false;
        answer.response = std::move(*response_);
    }
    const bool endless = static_cast<bool>(answer.response.take_over);
    const bool keep_alive = answer.keep_alive && !loop_.draining() && !endless;
    const RequestLine line = request_line();
    const ResponseFrame frame{line.version, keep_alive, line.method == "HEAD", loop_.date()};
    write_response(answer.response, frame, out_);
    if (!co_await send()) co_return false;
    report(answer);
    if (endless && line.method != "HEAD") {
        hand_over(answer.response.take_over);
        co_return false;
    }
    if (!keep_alive && (received == Received::refused || buffer_.size() != 0)) co_await linger();
    co_return keep_alive;
}

Awaitable<Session::Received> Session::receive()
{
    parser_.reset();
    request_ = Request();
    response_.reset();
    refusal_.reset();
    if (buffer_.size() == 0) {
        const bool arrived = co_await wait_for_first_byte();
        if (!arrived) co_return Received::closed;
    }
    allow(options_.read_timeout);
    Received received = co_await receive_header();
    if (received == Received::request && !parser_->is_done()) received = co_await receive_body();
    if (received == Received::closed && ended_by_client_ && !cut_) {
        received = refuse(400, "The request ends too early.");
    }
    co_return received;
}

Awaitable<bool> Session::wait_for_first_byte()
{
    if (loop_.draining()) co_return false;
    allow(options_.idle_timeout);
    idle_ = true;
    const bool arrived = co_await fill(header_read_bytes);
    idle_ = false;
    co_return arrived;
}

// The parser gets a header only when all of it is there, so that the guard sees the same bytes.
Awaitable<Session::Received> Session::receive_header()
{
    std::optional<Refusal> refusal;
    for (;;) {
        const auto size = complete_header(refusal);
        if (refusal) co_return refuse(refusal->status, refusal->detail);
        if (size) co_return take_header();
        const bool more = co_await fill(header_read_bytes);
        if (!more) co_return Received::closed;
    }
}

// Size of the header at the start of the buffer; nothing while it is incomplete or when it is refused.
std::optional<std::size_t> Session::complete_header(std::optional<Refusal>& refusal) const
{
    const std::string_view bytes = buffered();
    const std::size_t end = bytes.substr(0, options_.header_bytes_max).find(blank_line);
    const bool complete = end != std::string_view::npos;
    if (!complete && bytes.size() >= options_.header_bytes_max) {
        refusal = Refusal{431, "The header must not be larger than " +
                                   std::to_string(options_.header_bytes_max) + " bytes."};
    } else if (has_ambiguous_lines(bytes.substr(0, end))) {
        refusal = Refusal{400, "The header is malformed."};
    }
    if (!complete || refusal) return std::nullopt;
    return end + blank_line.size();
}

Session::Received Session::take_header()
{
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(options_.header_bytes_max));
    parser_->body_limit(options_.body_bytes_max);
    parser_->eager(false);
    error_code ec;
    buffer_.consume(parser_->put(buffer_.data(), ec));
    if (ec) return refuse_parse_error(ec);
    if (!parser_->is_header_done()) return refuse(400, "The header is malformed.");
    request_.headers.reserve(16);
    for (const auto& field : parser_->get()) {
        request_.headers.push_back(Header{std::string(field.name_string()), std::string(field.value())});
    }
    const auto refusal = refuse_header(request_line(), request_.headers);
    if (refusal) return refuse(refusal->status, refusal->detail);
    return Received::request;
}

Awaitable<Session::Received> Session::receive_body()
{
    if (buffer_.size() == 0 && expects_continue(request_line(), request_.headers)) {
        const bool sent = co_await send_continue();
        if (!sent) co_return Received::closed;
    }
    parser_->eager(true);
    bool more_needed = buffer_.size() == 0;
    while (!parser_->is_done()) {
        if (more_needed) {
            if (buffer_.size() >= buffered_bytes_max) co_return refuse(400, "The body is malformed.");
            const bool more = co_await fill(body_read_bytes);
            if (!more) co_return Received::closed;
        }
        error_code ec;
        buffer_.consume(parser_->put(buffer_.data(), ec));
        if (ec && ec != beast_http::error::need_more) co_return refuse_parse_error(ec);
        more_needed = ec == beast_http::error::need_more || buffer_.size() == 0;
    }
    co_return Received::request;
}

Awaitable<bool> Session::fill(std::size_t bytes)
{
    const net::mutable_buffer space = buffer_.prepare(bytes);
    const auto [ec, size] = co_await socket_.async_read_some(space, with_error);
    buffer_.commit(size);
    ended_by_client_ = ec == net::error::eof;
    co_return !ec && !cut_;
}

Awaitable<bool> Session::send()
{
    allow(options_.write_timeout);
    error_code ec;
    const std::size_t sent = socket_.write_some(net::buffer(out_), ec);
    if (ec && ec != net::error::would_block) co_return false;
    if (sent < out_.size()) {
        const net::const_buffer rest = net::buffer(out_) + sent;
        const auto [late_ec, size] = co_await net::async_write(socket_, rest, with_error);
        if (late_ec) co_return false;
    }
    if (out_.capacity() > out_bytes_kept) out_ = std::string();
    co_return !cut_;
}

// Within the deadline of the request.
Awaitable<bool> Session::send_continue()
{
    const net::const_buffer text = net::buffer("HTTP/1.1 100 Continue\r\n\r\n", 25);
    const auto [ec, size] = co_await net::async_write(socket_, text, with_error);
    co_return !ec && !cut_;
}

Awaitable<bool> Session::wait_for_response()
{
    deadline_ = Clock::time_point::max();  // the handler has its own deadlines
    while (!response_ && !cut_) {
        waiting_ = true;
        co_await wake_.async_wait(with_error);
        waiting_ = false;
    }
    co_return !cut_;
}

// Closing with unread input sends a reset, and a reset makes the client's system throw our answer away.
Awaitable<void> Session::linger()
{
    error_code ignored;
    socket_.shutdown(net::ip::tcp::socket::shutdown_send, ignored);
    allow(linger_time);
    std::size_t discarded = 0;
    for (bool more = true; more && discarded < linger_bytes_max;) {
        buffer_.clear();
        more = co_await fill(header_read_bytes);
        discarded += buffer_.size();
    }
}

void Session::hand_over(const TakeOver& take_over)
{
    error_code ec;
    const int socket = socket_.release(ec);
    if (!ec) take_over(socket);
}

Session::Received Session::refuse(unsigned status, std::string detail)
{
    refusal_ = Refusal{status, std::move(detail)};
    return Received::refused;
}

Session::Received Session::refuse_parse_error(const error_code& ec)
{
    if (ec == beast_http::error::header_limit) return refuse(431, "The header is too large.");
    if (ec != beast_http::error::body_limit) return refuse(400, "The request is malformed.");
    return refuse(413,
                  "The body must not be larger than " + std::to_string(options_.body_bytes_max) + " bytes.");
}

void Session::dispatch(Answer& answer)
{
    const std::string_view target = request_line().target;
    const auto [path, query] = split_target(target);
    Routing routing = loop_.shared().router.match(request_line().method, path);
    if (auto* const match = std::get_if<Match>(&routing)) {
        answer.route = match->route->path;
        auto decoded = decode_query(query);
        if (!decoded) {
            response_ = problem(400, "The query is malformed.");
            return;
        }
        request_.query = std::move(*decoded);
        call_handler(std::move(*match));
    } else if (const auto* const other_methods = std::get_if<MethodNotAllowed>(&routing)) {
        response_ = method_not_allowed(*other_methods);
    } else if (const auto* const elsewhere = std::get_if<Redirect>(&routing)) {
        response_ = redirect(*elsewhere, query);
    } else {
        response_ = problem(404, "Not Found");
    }
}

void Session::call_handler(Match&& match)
{
    const RequestLine line = request_line();
    request_.method = line.method;
    request_.path = split_target(line.target).path;
    request_.route = match.route->path;
    request_.captures = std::move(match.captures);
    request_.body = std::move(parser_->get().body());
    try {
        match.route->handler(std::move(request_), make_reply(loop_.completions(), RequestId{id_, number_}));
    } catch (...) {
        log_error("request handler failed", {{"route", match.route->path}});
        complete(number_, problem(500, "Internal Server Error"));
    }
}

void Session::report(const Answer& answer) const
{
    const auto& observer = loop_.shared().observer;
    if (observer) observer(answer.method, answer.route, answer.response.status, Clock::now() - answer.since);
}

std::string_view Session::buffered() const
{
    const net::const_buffer bytes = buffer_.cdata();
    return {static_cast<const char*>(bytes.data()), bytes.size()};
}

RequestLine Session::request_line() const
{
    if (!parser_) return RequestLine{};
    const auto& message = parser_->get();
    const auto method = message.method_string();
    const auto target = message.target();
    return RequestLine{{method.data(), method.size()}, {target.data(), target.size()}, message.version()};
}

}  // namespace infra::http
