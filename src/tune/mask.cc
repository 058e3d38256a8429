#include "tune/mask.h"

#include <algorithm>

namespace facet::tune {
namespace {

using nlohmann::json;

json First(const json& messages, size_t count) {
  return json(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(count));
}

// Where two texts part, moved back so that no special token of either is cut.
size_t PartingPoint(std::string_view a, std::string_view b,
                    const std::vector<std::string>& special) {
  const auto ends = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  size_t at = static_cast<size_t>(ends.first - a.begin());
  for (bool moved = true; moved;) {
    moved = false;
    for (const std::string& token : special) {
      for (size_t back = 1; back < token.size() && back <= at; ++back) {
        const size_t begin = at - back;
        if (a.compare(begin, token.size(), token) != 0 &&
            b.compare(begin, token.size(), token) != 0)
          continue;
        at = begin;
        moved = true;
        break;
      }
    }
  }
  return at;
}

// The text behind `from`, and the spans that stay plain moved along.
RenderedPrompt TextFrom(const RenderedPrompt& rendered, size_t from) {
  RenderedPrompt rest{rendered.text.substr(from), {}};
  for (const TextSpan& span : rendered.plain) {
    if (span.end <= from) continue;
    rest.plain.push_back({std::max(span.begin, from) - from, span.end - from});
  }
  return rest;
}

// Puts what the model thinks in front, where the template leaves thoughts out.
void PrependThought(const std::string& thought, RenderedPrompt& produced) {
  const std::string open = "<|channel>thought\n", close = "\n<channel|>";
  const size_t shift = open.size() + thought.size() + close.size();
  std::vector<TextSpan> plain = {{open.size(), open.size() + thought.size()}};
  for (const TextSpan& span : produced.plain)
    plain.push_back({span.begin + shift, span.end + shift});
  produced = {Cat(open, thought, close, produced.text), std::move(plain)};
}

std::string Trimmed(const std::string& text) {
  constexpr const char* kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  return begin == text.npos ? "" : text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

bool StartsWith(const std::vector<TokenId>& longer, const std::vector<TokenId>& shorter) {
  return shorter.size() <= longer.size() &&
         std::equal(shorter.begin(), shorter.end(), longer.begin());
}

Example WithAnswer(Prompt prompt, const std::vector<TokenId>& answer) {
  Example example;
  example.tokens = std::move(prompt.ids);
  example.items = std::move(prompt.items);
  example.labelled.assign(example.tokens.size(), 0);
  example.tokens.insert(example.tokens.end(), answer.begin(), answer.end());
  example.labelled.resize(example.tokens.size(), 1);
  return example;
}

}  // namespace

Renderer::Renderer(const ModelConfig& config, const Tokenizer& tokenizer,
                   const ChatTemplate* chat_template)
    : config_(config), tokenizer_(tokenizer), chat_template_(chat_template) {
  ends_.assign(config.generation.eos.begin(), config.generation.eos.end());
  for (const char* name : {"<turn|>", "<|tool_response>", "<end_of_turn>"}) {
    if (const auto id = tokenizer.Find(name)) ends_.push_back(*id);
  }
  for (std::string& token : tokenizer.SpecialTokens()) {
    if (token.size() > 1) special_.push_back(std::move(token));
  }
}

bool Renderer::IsEnd(TokenId id) const {
  return std::find(ends_.begin(), ends_.end(), id) != ends_.end();
}

Result<RenderedPrompt> Renderer::Render(const Row& row, size_t messages,
                                        bool generation_prompt) const {
  RenderOptions options = row.render;
  options.add_generation_prompt = generation_prompt;
  return chat_template_->Render(First(row.messages, messages), row.tools, options);
}

Result<Prompt> Renderer::PromptBefore(const Row& row, size_t message) const {
  PromptRequest request;
  request.messages = First(row.messages, message);
  request.tools = row.tools;
  request.render = row.render;
  request.media = row.media;
  request.load = &LoadPart;
  return BuildPrompt(config_, tokenizer_, *chat_template_, request);
}

// What the template writes for a message where the generation prompt would have stood: the rest of
// the turn, up to the token that ends it. Results of its tool calls are rendered along, because
// templates end a call differently when its results follow.
Result<std::vector<TokenId>> Renderer::Answer(const Row& row, size_t message) const {
  size_t behind = message + 1;
  while (behind < row.messages.size() && row.messages[behind]["role"] == "tool") ++behind;
  FACET_ASSIGN(const RenderedPrompt asked, Render(row, message, true));
  FACET_ASSIGN(const RenderedPrompt answered, Render(row, behind, false));
  size_t from = asked.text.size();
  if (!answered.text.starts_with(asked.text)) {
    from = PartingPoint(asked.text, answered.text, special_);
    FACET_ASSIGN(const RenderedPrompt before, Render(row, message, false));
    if (from < before.text.size() && !answered.text.starts_with(before.text)) {
      return Error{"the chat template writes earlier messages differently once this one is there",
                   ErrorKind::kUnsupported};
    }
  }
  RenderedPrompt produced = TextFrom(answered, from);
  const json& said = row.messages[message];
  if (const std::string thought = Trimmed(said.value("reasoning_content", ""));
      !thought.empty() && !produced.text.starts_with("<|channel>")) {
    if (!tokenizer_.Find("<|channel>"))
      return Error{"reasoning_content: this model has no notation for thoughts",
                   ErrorKind::kUnsupported};
    PrependThought(thought, produced);
  }
  std::vector<TokenId> ids = tokenizer_.Encode(produced.text, produced.plain);
  const auto end = std::find_if(ids.begin(), ids.end(), [&](TokenId id) { return IsEnd(id); });
  if (end == ids.begin()) return Error{"content: the answer is empty"};
  if (end != ids.end()) {
    ids.erase(end + 1, ids.end());
    return ids;
  }
  // A call whose results are still to come: some templates leave the turn open there.
  const auto response = tokenizer_.Find("<|tool_response>");
  if (!said.contains("tool_calls") || !response) {
    return Error{
        "the chat template writes no token that ends this turn: the model would never stop",
        ErrorKind::kUnsupported};
  }
  ids.push_back(*response);
  return ids;
}

Result<std::vector<Example>> Renderer::PlainExample(const Row& row) const {
  Prompt prompt;
  if (const auto bos = tokenizer_.bos(); bos && tokenizer_.add_bos()) prompt.ids.push_back(*bos);
  // The border between prompt and completion is one between tokens: they are encoded apart.
  const auto asked = tokenizer_.EncodePlain(row.plain->prompt);
  prompt.ids.insert(prompt.ids.end(), asked.begin(), asked.end());
  std::vector<TokenId> said = tokenizer_.EncodePlain(row.plain->completion);
  if (said.empty()) return Error{"nothing to learn: the text is empty"};
  if (const auto eos = tokenizer_.eos()) said.push_back(*eos);
  const bool from_nothing = prompt.ids.empty();
  std::vector<Example> examples;
  examples.push_back(WithAnswer(std::move(prompt), said));
  if (from_nothing) examples[0].labelled[0] = 0;  // nothing stands in front of it
  return examples;
}

Result<std::vector<Example>> Renderer::Examples(const Row& row) const {
  if (row.plain) return PlainExample(row);
  if (chat_template_ == nullptr) {
    return Error{"this model has no chat template: give prompt and completion, or text",
                 ErrorKind::kUnsupported};
  }
  std::vector<Example> examples;
  for (size_t i = 0; i < row.messages.size(); ++i) {
    if (!row.trained[i]) continue;
    const std::string where = Cat("messages[", i, "]");
    auto answer = Answer(row, i);
    if (!answer) return answer.error().In(where);
    FACET_ASSIGN(Prompt prompt, PromptBefore(row, i));
    Example example = WithAnswer(std::move(prompt), *answer);
    if (!examples.empty() && StartsWith(example.tokens, examples.back().tokens)) {
      const Example& earlier = examples.back();
      std::copy(earlier.labelled.begin(), earlier.labelled.end(), example.labelled.begin());
      examples.back() = std::move(example);
    } else {
      examples.push_back(std::move(example));
    }
  }
  return examples;
}

}  // namespace facet::tune
