// What a model is asked in an evaluation: held-out conversations, one JSON object a line.
//   {"id": ..., "messages": [...], "tools": [...], "meta": {"skill", "check", "group"?, ...}}
// The assistant's messages are the answers that are wanted; each is asked for with everything
// before it as the history, as it should have been.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace facet::eval {

// How an answer is judged.
enum class Check {
  kWords,     // word error rate
  kLetters,   // letter error rate
  kLabels,    // lines "speaker N: words", each right or wrong
  kText,      // the same words, whatever the articles, case and punctuation
  kSentence,  // the same text, but for white space
  kTools,     // calls equal in name and arguments; texts as kText
  kPlot,      // the program runs and draws what the wanted one draws
  kCode,      // the function passes the tests
};

struct Item {
  std::string id, skill, group;  // group: reported beside the skill; empty: the skill itself
  Check check = Check::kText;
  nlohmann::json messages, tools;  // media paths made absolute
  std::vector<size_t> wanted;      // which messages are the assistant's
  std::string function;            // kCode
  nlohmann::json tests;            // kCode: [{"arguments": [...], "result": ...}]

  nlohmann::json History(size_t turn) const;  // the messages before wanted[turn]
  const nlohmann::json& Wanted(size_t turn) const { return messages[wanted[turn]]; }
};

// Errors name the file, the line and the field.
Result<std::vector<Item>> ReadItems(const std::filesystem::path& file);

// What a model gave for one assistant's message.
struct Answer {
  std::string content;
  nlohmann::json tool_calls = nlohmann::json::array();  // [{"name", "arguments": JSON text}]
};

// {"id": ..., "answers": [{"content": ..., "tool_calls": [...]}]}; a string is short for a content.
Result<std::vector<std::pair<std::string, std::vector<Answer>>>> ReadAnswers(
    const std::filesystem::path& file);
nlohmann::json ToJson(const Answer& answer);

}  // namespace facet::eval
