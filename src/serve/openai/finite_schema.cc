#include "serve/openai/finite_schema.h"

#include <algorithm>
#include <set>
#include <vector>

namespace facet::serve {
namespace {

// A schema that takes more to look through than this is left to the compiler and its limits.
constexpr int kMaxVisits = 100'000;
// References that lead to references: each takes some of the stack.
constexpr size_t kMaxOpen = 500;

// Which schemas have a finite text. A reference that is being followed already gives none: only
// what stands beside it can.
class FiniteTexts {
 public:
  explicit FiniteTexts(const OrderedJson& root) : root_(root) {}

  bool Has(const OrderedJson& schema) {
    if (!schema.is_object() || ++visits_ > kMaxVisits) return true;
    return HasTarget(schema) && HasAll(schema) && HasAny(schema, "anyOf") &&
           HasAny(schema, "oneOf");
  }

  // The place of a part without one, in a schema without one.
  std::string Culprit(const OrderedJson& schema) {
    for (const auto& [place, part] : Needed(schema)) {
      if (!Has(*part)) return place + Culprit(*part);
    }
    return "";
  }

 private:
  const OrderedJson* Target(const OrderedJson& schema) const {
    const auto ref = schema.find("$ref");
    if (ref == schema.end() || !ref->is_string()) return nullptr;
    const auto& text = ref->get_ref<const std::string&>();
    if (!text.starts_with('#')) return nullptr;
    try {
      return &root_.at(OrderedJson::json_pointer(text.substr(1)));
    } catch (const OrderedJson::exception&) {
      return nullptr;  // the compiler says that it is not there
    }
  }
  bool HasTarget(const OrderedJson& schema) {
    const OrderedJson* target = Target(schema);
    if (target == nullptr || finite_.contains(target) || open_.size() > kMaxOpen) return true;
    if (std::find(open_.begin(), open_.end(), target) != open_.end()) return false;
    open_.push_back(target);
    const bool has = Has(*target);
    open_.pop_back();
    if (has) finite_.insert(target);
    return has;
  }
  bool HasAll(const OrderedJson& schema) {
    const auto parts = Needed(schema);
    return std::all_of(parts.begin(), parts.end(),
                       [&](const auto& entry) { return Has(*entry.second); });
  }
  bool HasAny(const OrderedJson& schema, const char* key) {
    const auto list = schema.find(key);
    if (list == schema.end() || !list->is_array() || list->empty()) return true;
    return std::any_of(list->begin(), list->end(),
                       [&](const OrderedJson& part) { return Has(part); });
  }
  // A schema of several types may have a text of another one.
  static bool Is(const OrderedJson& schema, const char* type) {
    const auto given = schema.find("type");
    return given != schema.end() && *given == type;
  }

  using Parts = std::vector<std::pair<std::string, const OrderedJson*>>;
  // The parts that any text of the schema has.
  Parts Needed(const OrderedJson& schema) const {
    Parts parts;
    if (const auto all = schema.find("allOf"); all != schema.end() && all->is_array()) {
      for (size_t i = 0; i < all->size(); ++i)
        parts.emplace_back(Cat(".allOf[", i, "]"), &(*all)[i]);
    }
    const auto members = schema.find("properties"), required = schema.find("required");
    if (Is(schema, "object") && members != schema.end() && members->is_object() &&
        required != schema.end() && required->is_array()) {
      for (const OrderedJson& name : *required) {
        if (!name.is_string()) continue;
        const auto member = members->find(name.get_ref<const std::string&>());
        if (member == members->end()) continue;
        parts.emplace_back(Cat(".properties.", name.get_ref<const std::string&>()), &*member);
      }
    }
    const auto items = schema.find("items"), least = schema.find("minItems");
    if (Is(schema, "array") && items != schema.end() && least != schema.end() &&
        least->is_number_unsigned() && *least > 0)
      parts.emplace_back(".items", &*items);
    return parts;
  }

  const OrderedJson& root_;
  std::vector<const OrderedJson*> open_;  // targets that are being followed
  std::set<const OrderedJson*> finite_;
  int visits_ = 0;
};

}  // namespace

Result<void> CheckFinite(const OrderedJson& schema) {
  FiniteTexts texts(schema);
  if (texts.Has(schema)) return Ok();
  return Error{Cat("schema", texts.Culprit(schema),
                   ": leads back to itself, so that no text of finite length fits")};
}

}  // namespace facet::serve
