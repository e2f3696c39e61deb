#include "config/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <system_error>

namespace infra::config {
namespace {

constexpr std::size_t shown_bytes_max = 100;

// Edits that turn `a` into `b`: insert, delete, replace a byte, or swap two neighbours.
std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) {
        for (std::size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            const std::size_t replaced = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            d[i][j] = std::min({replaced, d[i - 1][j] + 1, d[i][j - 1] + 1});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a.size()][b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates)
{
    constexpr std::size_t word_bytes_max = 64;
    if (word.size() > word_bytes_max) return {};
    std::string best;
    std::size_t best_distance = std::max<std::size_t>(word.size() / 3, 1) + 1;
    for (const auto& candidate : candidates) {
        const std::size_t d = distance(word, candidate);
        if (d >= best_distance) continue;
        best_distance = d;
        best = candidate;
    }
    return best;
}

std::string trimmed(std::string_view text)
{
    static constexpr std::string_view blanks = " \t\r\n";
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return std::string(text.substr(first, text.find_last_not_of(blanks) - first + 1));
}

bool is_plain_name(std::string_view name)
{
    constexpr std::size_t name_chars_max = 100;
    return !name.empty() && name.size() <= name_chars_max &&
           name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
               std::string_view::npos;
}

std::string in_quotes(std::string_view text)
{
    std::string shown = "\"";
    for (const char c : text.substr(0, shown_bytes_max)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte >= 0x7f) {
            shown += fmt::format("\\x{:02x}", byte);
        } else {
            if (c == '"' || c == '\\') shown += '\\';
            shown += c;
        }
    }
    shown += text.size() > shown_bytes_max ? "...\"" : "\"";
    return shown;
}

std::vector<std::string> split_path(std::string_view path)
{
    std::vector<std::string> segments;
    for (;;) {
        const auto dot = path.find('.');
        segments.emplace_back(path.substr(0, dot));
        if (dot == std::string_view::npos) return segments;
        path.remove_prefix(dot + 1);
    }
}

FileText read_config_file(const std::filesystem::path& path)
{
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) return {{}, "is a directory, not a file"};
    if (!std::filesystem::exists(path, ignored)) return {{}, "does not exist"};
    std::ifstream file(path, std::ios::binary);
    if (!file) return {{}, "cannot be read"};
    std::string text(config_file_bytes_max + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad()) return {{}, "cannot be read"};
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > config_file_bytes_max) return {{}, "is larger than 1 MiB"};
    static constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
    return {std::move(text), {}};
}

}  // namespace infra::config
