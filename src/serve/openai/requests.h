// What clients ask for, after every field has been checked. The shapes of the chat, completions and
// responses APIs meet here.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/sampler.h"
#include "runtime/model_pool.h"
#include "serve/media/access.h"
#include "serve/openai/fields.h"

namespace facet::serve {

// What the operator allows and limits.
struct ApiLimits {
  int max_choices = 16;
  int max_messages = 20000;
  int max_parts = 1024;
  int max_tools = 1024;
  int max_stops = 16;
  int max_media = 256;
  MediaAccess media;  // named by address
  // Of all media of a request that are.
  size_t max_fetched_bytes = size_t{256} << 20;
  std::chrono::seconds max_fetching{60};
  size_t media_memory = size_t{4} << 30;  // bytes of decoded media, of all requests together
  int media_workers = 4;                  // threads that fetch and decode media
};

// Fields that all generating routes share.
struct Common {
  std::optional<std::string> model;
  SamplingParams sampling;  // starts from the model's defaults once that is known
  struct Overrides {        // what the request itself said
    std::optional<double> temperature, top_p, min_p, presence, frequency, repetition;
    std::optional<int> top_k;
    std::optional<uint64_t> seed;
  } set;
  std::map<int, float> bias;
  int top_logprobs = -1;
  std::optional<int> max_tokens;
  std::vector<std::string> stop;
  int choices = 1;
  bool stream = false, include_usage = false, progress = false;
  bool use_cache = true;
  std::string salt;
};

struct ToolChoice {
  enum class Kind { kAuto, kNone, kRequired, kNamed } kind = Kind::kAuto;
  std::string name;
};

struct ResponseFormat {
  enum class Kind { kText, kJsonObject, kJsonSchema } kind = Kind::kText;
  OrderedJson schema;
};

// A conversation as the chat template wants it, with the bytes of its media set aside: a media part
// is {"type": "image" | "audio" | "video", "index": n, ...} and stands for media[n].
struct Conversation {
  Json messages = Json::array();
  std::vector<std::string> media;
  // Of those that were named by address.
  size_t fetched = 0;  // bytes
  std::chrono::steady_clock::duration fetching{};
};

struct ChatRequest {
  Common common;
  Conversation conversation;
  Json tools;  // null, or a list in the chat API's shape
  ToolChoice tool_choice;
  bool parallel_calls = true;
  ResponseFormat format;
  std::optional<bool> thinking;
  std::optional<int> thinking_budget;  // tokens
  Json template_extra = Json::object();
};

using TextOrIds = std::variant<std::string, std::vector<TokenId>>;

struct CompletionRequest {
  Common common;
  std::vector<TextOrIds> prompts;
};

// Reads what Common holds and moves the error (if any) to `fields`.
void ReadCommon(Fields& fields, const ApiLimits& limits, Common& out);

std::optional<ApiError> ReadChat(const Json& body, const ApiLimits& limits, ChatRequest& out);
std::optional<ApiError> ReadCompletion(const Json& body, const ApiLimits& limits,
                                       CompletionRequest& out);

// A text, token ids, or a list of at most `limit` of either.
void ReadTexts(Fields& fields, const char* name, size_t limit, std::vector<TextOrIds>& out);

// Messages in the chat API's shape, with all spellings of parts. `path` names the list in errors.
std::optional<ApiError> ReadMessages(const Json& messages, const std::string& path,
                                     const ApiLimits& limits, Conversation& out);
std::optional<ApiError> ReadMessage(const Json& message, const std::string& path,
                                    const ApiLimits& limits, Conversation& out);
// Tools and tool_choice of the chat API, or (flat) of the responses API; both come out in the chat
// API's shape.
std::optional<ApiError> ReadTools(Fields& fields, const ApiLimits& limits, ChatRequest& out);
// {"type": "text" | "json_object" | "json_schema", ...}; schemas stand in "json_schema", or beside
// the type.
void ReadFormat(const Json& format, Fields& fields, const char* name, ChatRequest& out);
// The schema with its members in the order of the body, which parsing has lost.
void RestoreOrder(const std::string& body, ChatRequest& out);
// What only one value of can be served.
void OnlyValue(Fields& fields, const char* name, const Json& value);
// reasoning_effort, reasoning, thinking, thinking_budget, chat_template_kwargs.
void ReadThinking(Fields& fields, ChatRequest& out);
// "none" and "minimal" switch thinking off, the others set its budget.
void ApplyEffort(const std::string& effort, ChatRequest& out);

// The model's defaults with what the request said.
SamplingParams Sampling(const LoadedModel& model, const Common& common);

}  // namespace facet::serve
