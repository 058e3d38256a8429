// Names that come from a server and become paths or URLs. Each type can only be made from text that
// is safe to use so: a digest cannot be `../../etc/x`, a file name cannot leave its folder
// (CVE-2024-37032 and its successors).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace facet {

// 64 (SHA-256) or 40 (SHA-1 of a git blob, or a commit) lower-case hexadecimal digits.
class Digest {
 public:
  // `what` names the field in the error.
  static Result<Digest> Parse(std::string_view text, std::string_view what);

  const std::string& hex() const { return hex_; }
  bool is_sha256() const { return hex_.size() == 64; }
  bool operator==(const Digest&) const = default;

 private:
  explicit Digest(std::string hex) : hex_(std::move(hex)) {}
  std::string hex_;
};

// A relative path of plain components that cannot lead out of the folder that it is joined to.
class PathUnder {
 public:
  // Errors: empty, absolute, `.` or `..` or empty components, backslashes, control characters, too
  // long.
  static Result<PathUnder> Parse(std::string_view text, std::string_view what);

  // Forward slashes.
  const std::string& text() const { return text_; }
  // The last component.
  std::string_view name() const;
  int depth() const;  // number of slashes
  std::filesystem::path In(const std::filesystem::path& root) const { return root / text_; }
  auto operator<=>(const PathUnder&) const = default;

 private:
  explicit PathUnder(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// `name` or `owner/name` by the hub's rules (huggingface_hub/utils/_validators.py).
class RepoId {
 public:
  static Result<RepoId> Parse(std::string_view text);

  const std::string& text() const { return text_; }
  // models--owner--name
  std::string folder() const;

 private:
  explicit RepoId(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// The name of a model in the store: letters, digits, `.`, `_`, `-`; it becomes a file name.
Result<void> CheckModelName(std::string_view name);

// True for 40 lower-case hexadecimal digits.
bool IsCommit(std::string_view text);

}  // namespace facet
