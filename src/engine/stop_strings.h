// Stop strings that span tokens: text is held back while it may still become one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace facet {

class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {}

  // Text that is certain now. Once a stop string has appeared, everything before it has been
  // returned and `stopped` is set.
  std::string Add(std::string_view text);
  // What was held back, at the end of the answer.
  std::string Finish();

  bool stopped() const { return stopped_; }
  // The string that ended the answer; empty where none did.
  const std::string& matched() const { return matched_; }

 private:
  std::vector<std::string> strings_;
  std::string held_, matched_;
  bool stopped_ = false;
};

}  // namespace facet
