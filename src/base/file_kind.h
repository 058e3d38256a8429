// What a file is, told by its first bytes: for the error of a reader that wanted something else.
#pragma once

#include <string>
#include <string_view>

namespace facet {

struct FileKind {
  std::string_view name;    // "a PDF document"
  std::string_view advice;  // what turns it into something else: "make pictures of its pages"

  // Name and advice, as they stand behind "this is" or "but got".
  std::string Text() const;
};

// As many bytes as GuessFileKind looks at.
constexpr size_t kFileKindBytes = 512;

// Never without a name: an empty file, text and data of a kind that is not known have theirs.
FileKind GuessFileKind(std::string_view head);

// True for a kind that has a name of its own, so that an error should give it.
bool IsKnownFileKind(std::string_view head);

}  // namespace facet
