#pragma once

#include "infra/config/load.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace config_support {

using infra::Binary;

using Environment = std::map<std::string, std::string>;

inline constexpr const char* database_url = "postgresql://polis:geheim@db:5433/city";

// A private directory with the files of one case.
class Workspace {
public:
    Workspace()
    {
        static int counter = 0;
        path_ = std::filesystem::temp_directory_path() /
                ("polis-config-" + std::to_string(::getpid()) + "-" + std::to_string(++counter));
        std::filesystem::create_directories(path_);
    }
    ~Workspace() { std::filesystem::remove_all(path_); }
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;

    void write(const std::string& name, const std::string& text) const
    {
        std::ofstream(path_ / name, std::ios::binary) << text;
    }

    infra::Sources sources(Environment env) const
    {
        infra::Sources sources;
        sources.env = [env = std::move(env)](const std::string& name) -> std::optional<std::string> {
            const auto found = env.find(name);
            if (found == env.end()) return std::nullopt;
            return found->second;
        };
        sources.working_directory = path_;
        return sources;
    }

    infra::Loaded load(Binary binary, Environment env) const
    {
        return infra::load_config(binary, sources(env));
    }

    // With everything set that some binary requires.
    infra::Loaded load_complete(Binary binary, Environment env) const
    {
        env.insert({"DATABASE_URL", database_url});
        env.insert({"PERIOD_IN_SECONDS", "2"});
        env.insert({"HTTP_POST_ENDPOINT", "http://consumer:8000/event"});
        env.insert({"PAYLOAD_FILE_PATH", "payloads.json"});
        if (binary == Binary::consumer) {
            env.insert({"KAFKA_BROKERS", "kafka:9092"});
            env.insert({"KAFKA_TOPICS", "city.energy=energy"});
        }
        return load(binary, std::move(env));
    }

private:
    std::filesystem::path path_;
};

inline std::string joined(const std::vector<std::string>& lines)
{
    std::string text;
    for (const auto& line : lines) (text += line) += '\n';
    return text;
}

inline bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

inline bool faults_contain(const infra::Loaded& loaded, const std::string& part)
{
    return contains(joined(loaded.faults), part);
}

}  // namespace config_support
