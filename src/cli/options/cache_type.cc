#include "cli/options/cache_type.h"

namespace facet::cli {
namespace {

const std::map<std::string, CacheType> kCacheTypes = {
    {"f32", CacheType::kF32}, {"f16", CacheType::kF16}, {"q8_0", CacheType::kQ8_0}};

}  // namespace

void AddCacheType(CLI::App& command, const std::string& option, std::string& name) {
  command.add_option(option, name, "Keys and values: f32, f16 or q8_0")
      ->check(CLI::IsMember(&kCacheTypes))
      ->capture_default_str();
}

CacheType CacheTypeOf(const std::string& name) {
  return kCacheTypes.at(name);
}

}  // namespace facet::cli
