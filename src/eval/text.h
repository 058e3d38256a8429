// How answers are compared: distances, and what counts as the same text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace facet::eval {

// Words in lower case, without punctuation; a number written as a word becomes digits, so that
// "Three." equals "3". What stands between digits stays ("00:02", "4.5").
std::vector<std::string> Words(std::string_view text);

// The same without articles: "a red star" equals "the red star".
std::vector<std::string> KeyWords(std::string_view text);

// Runs of white space become one space; none at the ends.
std::string OneSpace(std::string_view text);

// Levenshtein: how many insertions, deletions and replacements turn one into the other.
int WordDistance(const std::vector<std::string>& a, const std::vector<std::string>& b);
int LetterDistance(std::string_view a, std::string_view b);  // UTF-8, by characters
int LetterCount(std::string_view text);

// The program of an answer: the content of its first code block, or the whole answer without one.
std::string ProgramOf(std::string_view answer);

}  // namespace facet::eval
