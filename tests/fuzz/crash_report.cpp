#include "fuzz/crash_report.hpp"

#include <array>
#include <csignal>
#include <cstddef>
#include <string_view>
#include <unistd.h>

// Only the sanitizers' runtime has it.
extern "C" [[gnu::weak]] void __sanitizer_set_death_callback(void (*)());

namespace fuzz {
namespace {

constexpr unsigned hang_seconds = 20;
constexpr std::array signals{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM};

// What a signal handler may read: plain memory.
struct Watched {
    std::uint64_t seed = 0;
    std::uint64_t number = 0;
    const char* data = nullptr;
    std::size_t size = 0;
};

Watched watched;  // NOLINT(*-avoid-non-const-global-variables)
std::array<struct sigaction, signals.size()>
    earlier_handlers{};  // NOLINT(*-avoid-non-const-global-variables)

void write_text(std::string_view text)
{
    // Nobody is left to be told when this fails.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

void write_number(std::uint64_t number)
{
    std::array<char, 20> digits{};
    std::size_t at = digits.size();
    do {
        digits[--at] = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number != 0);
    write_text({digits.data() + at, digits.size() - at});
}

void write_hex(std::string_view bytes)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::array<char, 512> block{};
    while (!bytes.empty()) {
        std::size_t used = 0;
        for (; used < block.size() && !bytes.empty(); bytes.remove_prefix(1)) {
            const auto byte = static_cast<unsigned char>(bytes.front());
            block[used++] = digits[byte / 16];
            block[used++] = digits[byte % 16];
        }
        write_text({block.data(), used});
    }
}

// Only what is safe in a signal handler.
void print_watched()
{
    if (watched.data == nullptr) return;
    write_text("\nfuzz: input ");
    write_number(watched.number);
    write_text(" of FUZZ_SEED=");
    write_number(watched.seed);
    write_text(" fails; repeat it with\nFUZZ_INPUT=");
    write_hex({watched.data, watched.size});
    write_text("\n");
}

void on_signal(int signal)
{
    if (signal == SIGALRM) write_text("\nfuzz: this input hangs\n");
    print_watched();
    watched.data = nullptr;  // once is enough, also when a sanitizer reports the same
    for (std::size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &earlier_handlers[i], nullptr);
    ::raise(signal == SIGALRM ? SIGABRT : signal);
}

void on_sanitizer_report()
{
    print_watched();
    watched.data = nullptr;
}

}  // namespace

CrashReport::CrashReport(std::uint64_t seed)
{
    watched = Watched{seed, 0, nullptr, 0};
    struct sigaction action = {};
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    // On another stack, because the own one may be what is used up; doctest has set one.
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    for (std::size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &action, &earlier_handlers[i]);
    if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(on_sanitizer_report);
    rearm_watchdog();
}

CrashReport::~CrashReport()
{
    ::alarm(0);
    watched.data = nullptr;
    for (std::size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &earlier_handlers[i], nullptr);
}

void CrashReport::watch(std::uint64_t number, const std::string& input) const
{
    watched.number = number;
    watched.data = input.data();
    watched.size = input.size();
}

void CrashReport::rearm_watchdog() const { ::alarm(hang_seconds); }

void CrashReport::print() const { print_watched(); }

}  // namespace fuzz
