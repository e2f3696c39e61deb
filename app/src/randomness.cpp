#include "app/randomness.hpp"

#include "app/clocks.hpp"

#include <random>

namespace app {
namespace {

std::mt19937_64& generator()
{
    thread_local std::mt19937_64 instance = [] {
        std::random_device device;
        std::seed_seq seed{device(), device(), device(), device()};
        return std::mt19937_64(seed);
    }();
    return instance;
}

}  // namespace

std::uint64_t random_bits() { return generator()(); }

double random_fraction() { return std::uniform_real_distribution<double>(0.0, 1.0)(generator()); }

domain::Uuid new_id() { return domain::family_id(domain::id_tick_at(system_now()), random_bits()); }

}  // namespace app
