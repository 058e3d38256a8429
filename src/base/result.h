// Errors that a user, a file or a request can cause travel as values; assert() is for programmer
// errors only.
#pragma once

#include <cassert>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace facet {

// What kind of failure, so that a command can choose its exit code and the server its HTTP status.
enum class ErrorKind {
  kInvalid,          // malformed or out-of-range input: file, flag, field
  kOverContext,      // the prompt does not fit into the model's context
  kNotFound,         // a file, model, repository or field that is not there
  kUnsupported,      // well-formed, but not something this program does
  kUnauthenticated,  // no key, or a wrong one
  kPermission,       // not allowed: file permission, host, origin
  kTooLarge,         // longer than a limit allows
  kTimeout,          // did not arrive in time
  kResource,         // memory, disk, cache pages
  kInsufficient,     // can never fit into this machine or its budget
  kQueueFull,        // too many requests wait already
  kBusy,             // others hold what is needed: later it may do
  kIo,               // the system or the network failed
  kInternal,         // a fault of this program, or of files that it trusts
  kCancelled,        // the caller asked to stop
};

struct Error {
  std::string message;
  ErrorKind kind = ErrorKind::kInvalid;
  // What a program reads: "invalid_value". Empty: what the kind stands for.
  std::string code = {};
  // The field of a request that is at fault: "messages[2].content". Empty: none in particular.
  std::string param = {};

  // The same error with the place in front: `place: message`.
  Error In(std::string_view place) const {
    return {std::string(place) + ": " + message, kind, code, param};
  }
};

// Joins its arguments as a stream would.
template <typename... Args>
std::string Cat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return std::move(out).str();
}

// The one wording of a mismatch: `expected X but got Y (where)`.
template <typename Want, typename Got>
Error Expected(const Want& want, const Got& got, std::string_view where) {
  return {Cat("expected ", want, " but got ", got, " (", where, ")"), ErrorKind::kInvalid};
}

// The error of a system call, by its errno: `what: No such file or directory`.
Error SystemError(int value, std::string_view what);

// A value or an Error. `Result<void>` carries success alone.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Error error) : state_(std::move(error)) {}

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }

  T& value() & {
    assert(ok());
    return std::get<T>(state_);
  }
  const T& value() const& {
    assert(ok());
    return std::get<T>(state_);
  }
  T&& value() && {
    assert(ok());
    return std::get<T>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const {
    assert(!ok());
    return std::get<Error>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    assert(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

inline Result<void> Ok() {
  return {};
}

#define FACET_CONCAT_(a, b) a##b
#define FACET_CONCAT(a, b) FACET_CONCAT_(a, b)

// Returns the error of `expr` (a Result) from the enclosing function, if there is one.
#define FACET_TRY(expr)                               \
  do {                                                \
    if (auto facet_try_ = (expr); !facet_try_.ok()) { \
      return facet_try_.error();                      \
    }                                                 \
  } while (0)

// `FACET_ASSIGN(auto x, F());` declares x from F's value, or returns F's error.
#define FACET_ASSIGN(lhs, expr) FACET_ASSIGN_(FACET_CONCAT(facet_result_, __LINE__), lhs, expr)
#define FACET_ASSIGN_(result, lhs, expr)   \
  auto result = (expr);                    \
  if (!result.ok()) return result.error(); \
  lhs = std::move(result).value()

}  // namespace facet
