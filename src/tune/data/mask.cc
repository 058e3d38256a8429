#include "tune/data/mask.h"

#include <algorithm>

#include "base/text.h"
#include "base/utf8.h"

namespace facet::tune {
namespace {

using Json = nlohmann::ordered_json;

Json First(const Json& messages, size_t count) {
  return Json(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(count));
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

// The text from `from` on, and the plain spans moved along.
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

bool StartsWith(const std::vector<TokenId>& longer, const std::vector<TokenId>& shorter) {
  return shorter.size() <= longer.size() &&
         std::equal(shorter.begin(), shorter.end(), longer.begin());
}

// The token of one character: the vocabulary writes spaces as U+2581.
std::optional<TokenId> LetterOf(const Tokenizer& tokenizer, std::string_view character) {
  return tokenizer.Find(character == " " ? "\u2581" : character);
}

// The same text with one token for each character, where the vocabulary has them all: BPE dropout
// (Provilkov et al. 2020, section 3.1) with a probability of 1.
std::vector<TokenId> Spelled(const Tokenizer& tokenizer, std::span<const TokenId> ids) {
  std::vector<TokenId> spelled;
  for (const TokenId id : ids) {
    const std::string_view piece = tokenizer.Piece(id);
    std::vector<TokenId> letters;
    if (!tokenizer.IsSpecial(id) && IsUtf8(piece)) {
      for (size_t at = 0, bytes; at < piece.size(); at += bytes) {
        bytes = DecodeUtf8(piece, at).bytes;
        const auto letter = LetterOf(tokenizer, piece.substr(at, bytes));
        if (!letter) {
          letters.clear();
          break;
        }
        letters.push_back(*letter);
      }
    }
    if (letters.empty()) letters = {id};
    spelled.insert(spelled.end(), letters.begin(), letters.end());
  }
  return spelled;
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
  request.load = [](const nlohmann::ordered_json& part) -> Result<MediaSource> {
    FACET_ASSIGN(std::string bytes, LoadPart(part));
    return MediaSource(std::move(bytes));
  };
  return BuildPrompt(config_, tokenizer_, *chat_template_, std::move(request));
}

// What the template writes for a message where the generation prompt would have stood: the rest of
// the turn, up to the token that ends it. Results of its tool calls are rendered along, because
// templates end a call differently when its results follow.
Result<Renderer::Turn> Renderer::ReadTurn(const Row& row, size_t message) const {
  size_t after = message + 1;
  while (after < row.messages.size() && row.messages[after]["role"] == "tool") ++after;
  FACET_ASSIGN(const RenderedPrompt asked, Render(row, message, true));
  FACET_ASSIGN(const RenderedPrompt answered, Render(row, after, false));
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
  const Json& said = row.messages[message];
  if (const std::string thought(Trim(said.value("reasoning_content", ""), " \t\r\n"));
      !thought.empty() && !produced.text.starts_with("<|channel>")) {
    if (!tokenizer_.Find("<|channel>"))
      return Error{"reasoning_content: this model has no notation for thoughts",
                   ErrorKind::kUnsupported};
    PrependThought(thought, produced);
  }
  Turn turn{message, tokenizer_.Encode(asked.text, asked.plain), {}};
  std::vector<TokenId>& ids = turn.answer;
  ids = tokenizer_.Encode(produced.text, produced.plain);
  if (row.spell) ids = Spelled(tokenizer_, ids);
  const auto end = std::find_if(ids.begin(), ids.end(), [&](TokenId id) { return IsEnd(id); });
  if (end == ids.begin()) return Error{"content: the answer is empty"};
  if (end != ids.end()) {
    ids.erase(end + 1, ids.end());
    return turn;
  }
  // A call whose results are still to come: some templates leave the turn open there.
  const auto response = tokenizer_.Find("<|tool_response>");
  if (!said.contains("tool_calls") || !response) {
    return Error{
        "the chat template writes no token that ends this turn: the model would never stop",
        ErrorKind::kUnsupported};
  }
  ids.push_back(*response);
  return turn;
}

Result<std::vector<Example>> Renderer::PlainExample(const Row& row) const {
  Prompt prompt;
  if (const auto bos = tokenizer_.bos(); bos && tokenizer_.add_bos()) prompt.ids.push_back(*bos);
  // The border between prompt and completion is one between tokens: they are encoded apart.
  const auto asked = tokenizer_.EncodePlain(row.plain->prompt);
  prompt.ids.insert(prompt.ids.end(), asked.begin(), asked.end());
  std::vector<TokenId> said = tokenizer_.EncodePlain(row.plain->completion);
  if (said.empty()) return Error{"nothing to learn: the text is empty"};
  if (row.spell) said = Spelled(tokenizer_, said);
  if (const auto eos = tokenizer_.eos()) said.push_back(*eos);
  const bool from_nothing = prompt.ids.empty();
  std::vector<Example> examples;
  examples.push_back(WithAnswer(std::move(prompt), said));
  if (from_nothing) examples[0].labelled[0] = 0;  // no token predicts it
  return examples;
}

bool Renderer::IsMedium(TokenId id) const {
  const MediaTokens& media = config_.tokens;
  return id == media.image || id == media.video || id == media.audio;
}

// Where an earlier answer of a chain begins in the tokens of the last prompt. Media are decoded for
// the last prompt alone where they all stand in front of the answer: behind them, tokens with and
// without their soft tokens are the same.
Result<size_t> Renderer::Place(const Row& row, const Turn& turn, const Turn& last,
                               const Example& example) const {
  const size_t begin = turn.asked.size();
  const bool media_behind = std::any_of(last.asked.begin() + static_cast<std::ptrdiff_t>(begin),
                                        last.asked.end(), [&](TokenId id) { return IsMedium(id); });
  if (!media_behind) {
    return begin + example.tokens.size() - (last.asked.size() + last.answer.size());
  }
  FACET_ASSIGN(const Prompt prompt, PromptBefore(row, turn.message));
  return prompt.ids.size();
}

// The example of a chain of answers: each but the last stands in the prompt of the next.
Result<Example> Renderer::Chain(const Row& row, std::span<const Turn> turns) const {
  const Turn& last = turns.back();
  FACET_ASSIGN(Prompt prompt, PromptBefore(row, last.message));
  Example example = WithAnswer(std::move(prompt), last.answer);
  for (const Turn& turn : turns.first(turns.size() - 1)) {
    FACET_ASSIGN(const size_t begin, Place(row, turn, last, example));
    const bool there = begin + turn.answer.size() <= example.tokens.size() &&
                       std::equal(turn.answer.begin(), turn.answer.end(),
                                  example.tokens.begin() + static_cast<std::ptrdiff_t>(begin));
    if (!there) return Error{Cat("messages[", turn.message, "]: not found in its conversation")};
    std::fill_n(example.labelled.begin() + static_cast<std::ptrdiff_t>(begin), turn.answer.size(),
                1);
  }
  return example;
}

Result<std::vector<Example>> Renderer::Examples(const Row& row) const {
  if (row.plain) return PlainExample(row);
  if (chat_template_ == nullptr) {
    return Error{"this model has no chat template: give prompt and completion, or text",
                 ErrorKind::kUnsupported};
  }
  std::vector<Turn> turns;
  std::vector<size_t> begins;  // of the chains
  std::vector<TokenId> before;
  for (size_t i = 0; i < row.messages.size(); ++i) {
    if (!row.trained[i]) continue;
    auto turn = ReadTurn(row, i);
    if (!turn) return turn.error().In(Cat("messages[", i, "]"));
    if (turns.empty() || !StartsWith(turn->asked, before)) begins.push_back(turns.size());
    before = turn->asked;
    before.insert(before.end(), turn->answer.begin(), turn->answer.end());
    turns.push_back(*std::move(turn));
  }
  begins.push_back(turns.size());
  std::vector<Example> examples;
  for (size_t c = 0; c + 1 < begins.size(); ++c) {
    FACET_ASSIGN(Example example, Chain(row, std::span<const Turn>(turns).subspan(
                                                 begins[c], begins[c + 1] - begins[c])));
    examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace facet::tune
