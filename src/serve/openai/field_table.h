// A request's fields as one table: name, other names, type, limits, what it does, and where the
// value goes. The table reads a request, refuses what it cannot do, notes what it does not know
// (refuses it with --strict), and is printed into docs/serving.md.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "formats/json_fields.h"

namespace facet::serve {

// A row as the documentation shows it.
struct FieldDoc {
  enum class Use { kRead, kIgnored, kRefused } use = Use::kRead;
  std::vector<std::string> names;  // the first is the one that we would use
  std::string type, limits, about;
  bool required = false;
};

// Types and limits in the words of the documentation.
const char* TypeName(const OrderedJson& value);
std::string IntegerLimits(int64_t low, int64_t high);
std::string NumberLimits(double low, double high);
std::string ChoiceLimits(const std::vector<std::string_view>& values);
std::string TextLimits(size_t max_bytes);

template <class Request>
class FieldTable {
 public:
  // Takes the field from the object into the request, or fails.
  using Read = std::function<void(JsonFields&, std::string_view name, Request&)>;

  // --- rows; `to` is a member of the request, or takes (request, value)

  template <class To>
  FieldTable& Number(const char* name, To to, double low, double high, const char* about) {
    return Row({name, "number", NumberLimits(low, high), about},
               [=](JsonFields& fields, std::string_view field, Request& out) {
                 if (const auto value = fields.Number(field, low, high)) Put(out, to, *value);
               });
  }
  template <class To>
  FieldTable& Integer(const char* name, To to, int64_t low, int64_t high, const char* about) {
    return Row({name, "integer", IntegerLimits(low, high), about},
               [=](JsonFields& fields, std::string_view field, Request& out) {
                 if (const auto value = fields.Int(field, low, high)) Put(out, to, *value);
               });
  }
  template <class To>
  FieldTable& Flag(const char* name, To to, const char* about) {
    return Row({name, "boolean", "", about},
               [=](JsonFields& fields, std::string_view field, Request& out) {
                 if (const auto value = fields.Bool(field)) Put(out, to, *value);
               });
  }
  template <class To>
  FieldTable& Text(const char* name, To to, size_t max_bytes, const char* about) {
    return Row({name, "string", TextLimits(max_bytes), about},
               [=](JsonFields& fields, std::string_view field, Request& out) {
                 if (auto value = fields.MoveString(field, max_bytes))
                   Put(out, to, *std::move(value));
               });
  }
  template <class To>
  FieldTable& Choice(const char* name, To to, std::vector<std::string_view> values,
                     const char* about) {
    return Row({name, "string", ChoiceLimits(values), about},
               [=](JsonFields& fields, std::string_view field, Request& out) {
                 if (auto value = fields.Choice(field, values)) Put(out, to, *std::move(value));
               });
  }
  // What the types above do not cover.
  FieldTable& Custom(const char* name, const char* type, std::string limits, const char* about,
                     Read read) {
    return Row({name, type, std::move(limits), about}, std::move(read));
  }
  // An object with fields of its own.
  FieldTable& Object(const char* name, const char* about, FieldTable inner) {
    Row({name, "object", "", about},
        [rows = inner.rows_](JsonFields& fields, std::string_view field, Request& out) {
          OrderedJson* object = fields.Object(field);
          if (object == nullptr) return;
          JsonFields members = fields.Inside(field, *object);
          ReadRows(rows, members, out);
          fields.Adopt(members.Done());
        });
    for (FieldDoc doc : inner.docs_) {
      for (std::string& inside : doc.names) inside = Cat(name, ".", inside);
      docs_.push_back(std::move(doc));
    }
    return *this;
  }
  // What can be served with one value only, or with one of a few that mean the same.
  FieldTable& Only(const char* name, OrderedJson value, const char* about) {
    return OnlyOneOf({name}, {std::move(value)}, about);
  }
  FieldTable& OnlyOneOf(std::vector<std::string> names, std::vector<OrderedJson> values,
                        const char* about) {
    std::string shown, limits;
    for (const OrderedJson& value : values) {
      shown += Cat(shown.empty() ? "" : " or ", ShowJson(value));
      limits += Cat(limits.empty() ? "only `" : ", `", ShowJson(value), "`");
    }
    FieldDoc doc{FieldDoc::Use::kRead, names, TypeName(values[0]), limits, about};
    for (const std::string& name : names) {
      rows_.push_back(
          {{name}, false, [values, shown](JsonFields& fields, std::string_view field, Request&) {
             const OrderedJson* got = fields.Any(field);
             if (got == nullptr || std::count(values.begin(), values.end(), *got) > 0) return;
             fields.Fail(field, Cat("expected ", shown, ": anything else is not supported"),
                         "unsupported", ErrorKind::kUnsupported);
           }});
    }
    docs_.push_back(std::move(doc));
    return *this;
  }
  // Accepted, but the answer does not depend on it: noted among the ignored fields.
  FieldTable& Ignored(std::vector<std::string> names, const char* reason) {
    for (const std::string& name : names) rows_.push_back({{name}, false, Ignore});
    docs_.push_back({FieldDoc::Use::kIgnored, std::move(names), "", "", reason});
    return *this;
  }
  // A hint for another server: as a field that is not known, but with a reason.
  FieldTable& Hint(std::vector<std::string> names, const char* reason) {
    docs_.push_back({FieldDoc::Use::kIgnored, std::move(names), "", "", reason});
    return *this;
  }
  // Known from other servers, and refused: the answer would depend on it.
  FieldTable& Refused(std::vector<std::string> names, const char* reason) {
    for (const std::string& name : names) {
      rows_.push_back(
          {{name}, false, [reason](JsonFields& fields, std::string_view field, Request&) {
             if (fields.Any(field) == nullptr) return;
             fields.Fail(field, Cat("this field is refused: ", reason), "unknown_parameter",
                         ErrorKind::kUnsupported);
           }});
    }
    docs_.push_back({FieldDoc::Use::kRefused, std::move(names), "", "", reason});
    return *this;
  }

  // --- about the row before

  FieldTable& Or(const char* other_name) {
    rows_.back().names.push_back(other_name);
    docs_.back().names.push_back(other_name);
    return *this;
  }
  FieldTable& Required() {
    rows_.back().required = docs_.back().required = true;
    return *this;
  }

  // The rows of a part of the request.
  template <class Part>
  FieldTable& Include(const FieldTable<Part>& other, Part Request::*part) {
    for (const auto& row : other.rows()) {
      rows_.push_back({row.names, row.required,
                       [read = row.read, part](JsonFields& fields, std::string_view field,
                                               Request& out) { read(fields, field, out.*part); }});
    }
    docs_.insert(docs_.end(), other.docs().begin(), other.docs().end());
    return *this;
  }

  // Reads what the object has. Where two names of a field are given, the later one counts. Fields
  // that have no effect are noted in `ignored`; without it, those that are not known are refused.
  Result<void> ReadAll(OrderedJson& object, Request& out, IgnoredFields* ignored) const {
    JsonFields fields(object, "", ignored);
    ReadRows(rows_, fields, out);
    return fields.Done();
  }

  struct RowReader {
    std::vector<std::string> names;
    bool required = false;
    Read read;
  };
  const std::vector<RowReader>& rows() const { return rows_; }
  const std::vector<FieldDoc>& docs() const { return docs_; }

 private:
  struct Shown {
    const char *name, *type;
    std::string limits;
    const char* about;
  };

  FieldTable& Row(Shown shown, Read read) {
    rows_.push_back({{shown.name}, false, std::move(read)});
    docs_.push_back(
        {FieldDoc::Use::kRead, {shown.name}, shown.type, std::move(shown.limits), shown.about});
    return *this;
  }

  static void Ignore(JsonFields& fields, std::string_view field, Request&) {
    fields.IgnoreAndNote(field);
  }

  static void ReadRows(const std::vector<RowReader>& rows, JsonFields& fields, Request& out) {
    for (const RowReader& row : rows) {
      if (row.required &&
          std::none_of(row.names.begin(), row.names.end(),
                       [&](const std::string& name) { return fields.Any(name) != nullptr; }))
        fields.Require(row.names.front());
      for (const std::string& name : row.names) row.read(fields, name, out);
    }
  }

  // Integers stop at the ends of the member's range.
  template <class Member, class Value>
  static void Assign(Member& member, Value&& value) {
    using Given = std::decay_t<Value>;
    if constexpr (requires { typename Member::value_type; } && !std::is_same_v<Member, Given>) {
      typename Member::value_type inner{};
      Assign(inner, std::forward<Value>(value));
      member = std::move(inner);
    } else if constexpr (std::is_same_v<Given, int64_t> && std::is_integral_v<Member>) {
      member = static_cast<Member>(
          std::clamp<int64_t>(value, std::numeric_limits<Member>::min(),
                              static_cast<int64_t>(std::numeric_limits<Member>::max())));
    } else {
      member = std::forward<Value>(value);
    }
  }
  template <class To, class Value>
  static void Put(Request& out, const To& to, Value&& value) {
    if constexpr (std::is_member_object_pointer_v<To>) {
      Assign(out.*to, std::forward<Value>(value));
    } else {
      to(out, std::forward<Value>(value));
    }
  }

  std::vector<RowReader> rows_;
  std::vector<FieldDoc> docs_;
};

}  // namespace facet::serve
