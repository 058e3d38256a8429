#include "tune/data/mask.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "base/utf8.h"
#include "engine/media_parts.h"

namespace facet::tune {
namespace {

using Json = nlohmann::ordered_json;

Json FirstMessages(const Json& messages, size_t count) {
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

// What turns rows into tokens.
struct RenderContext {
  const ModelConfig& config;
  const Tokenizer& tokenizer;
  const ChatTemplate& chat_template;
  const std::vector<TokenId>& ends;
  const std::vector<std::string>& special;
};

// Media parts of a message, which DecodeMediaParts expands one by one.
size_t CountMedia(const Json& message) {
  const auto content = message.find("content");
  if (content == message.end() || !content->is_array()) return 0;
  return static_cast<size_t>(std::count_if(content->begin(), content->end(), [](const Json& part) {
    const std::string type = part.value("type", "");
    return type == "image" || type == "audio" || type == "video";
  }));
}

// The same expansions without their content: what counting and placing soft tokens needs.
std::vector<MediaExpansion> WithoutContent(std::span<const MediaExpansion> expansions) {
  std::vector<MediaExpansion> shapes(expansions.begin(), expansions.end());
  for (MediaExpansion& expansion : shapes) {
    for (MediaExpansion::Run& run : expansion.runs) {
      auto shape = std::make_shared<SoftItem>();
      shape->kind = run.item->kind;
      shape->count = run.item->count;
      run.item = std::move(shape);
    }
  }
  return shapes;
}

// One conversation on its way to examples. Its media are decoded once, and no part of it is
// rendered twice in the same way.
class ConversationRenderer {
 public:
  ConversationRenderer(const RenderContext& context, const Row& row)
      : context_(context), row_(row), messages_(row.messages) {}

  Result<std::vector<Example>> Examples(MediaUse use) {
    FACET_TRY(DecodeMedia(use));
    std::vector<Turn> turns;
    std::vector<size_t> chains;  // turn with which each example begins
    for (size_t i = 0; i < row_.messages.size(); ++i) {
      if (!row_.trained[i]) continue;
      auto turn = ReadTurn(i);
      if (!turn) return turn.error().In(Cat("messages[", i, "]"));
      if (turns.empty() || !Continues(*turn, turns.back())) chains.push_back(turns.size());
      turns.push_back(*std::move(turn));
    }
    chains.push_back(turns.size());
    std::vector<Example> examples;
    for (size_t c = 0; c + 1 < chains.size(); ++c) {
      const auto chain = std::span(turns).subspan(chains[c], chains[c + 1] - chains[c]);
      const bool last = c + 2 == chains.size();
      examples.push_back(Join(chain, last));
    }
    return examples;
  }

 private:
  // A trained answer and the prompt in front of it. The prompt's items have no content.
  struct Turn {
    Prompt prompt;
    std::vector<TokenId> answer;
  };

  // Media up to the last trained answer: what comes later is not rendered.
  Result<void> DecodeMedia(MediaUse use) {
    size_t count = row_.trained.size();
    while (count > 0 && !row_.trained[count - 1]) --count;
    PromptRequest request;
    request.messages = FirstMessages(row_.messages, count);
    request.media = row_.media;
    request.media_use = use;
    request.load = [](const Json& part) -> Result<MediaSource> {
      FACET_ASSIGN(std::string bytes, LoadPart(part));
      return MediaSource(std::move(bytes));
    };
    FACET_ASSIGN(media_, DecodeMediaParts(context_.config, request));
    std::move(request.messages.begin(), request.messages.end(), messages_.begin());
    size_t before = 0;
    for (const Json& message : messages_) {
      media_before_.push_back(before);
      before += CountMedia(message);
    }
    return Ok();
  }

  Result<RenderedPrompt> Render(size_t count, bool generation_prompt) const {
    RenderOptions options = row_.render;
    options.add_generation_prompt = generation_prompt;
    return context_.chat_template.Render(FirstMessages(messages_, count), row_.tools, options);
  }

  // The first `count` messages as history. Kept: a turn's end is often another one's beginning.
  Result<const RenderedPrompt*> History(size_t count) {
    const auto known = histories_.find(count);
    if (known != histories_.end()) return &known->second;
    FACET_ASSIGN(RenderedPrompt rendered, Render(count, false));
    return &histories_.emplace(count, std::move(rendered)).first->second;
  }

  // What the template writes for a message where the generation prompt `asked` would end: the rest
  // of the turn, and more. Results of its tool calls are rendered along, because templates end a
  // call differently when its results follow.
  Result<RenderedPrompt> Produced(size_t message, const RenderedPrompt& asked) {
    size_t after = message + 1;
    while (after < messages_.size() && messages_[after]["role"] == "tool") ++after;
    FACET_ASSIGN(const RenderedPrompt* answered, History(after));
    if (answered->text.starts_with(asked.text)) return TextFrom(*answered, asked.text.size());
    const size_t from = PartingPoint(asked.text, answered->text, context_.special);
    FACET_ASSIGN(const RenderedPrompt* before, History(message));
    if (from < before->text.size() && !answered->text.starts_with(before->text)) {
      return Error{"the chat template writes earlier messages differently once this one is there",
                   ErrorKind::kUnsupported};
    }
    return TextFrom(*answered, from);
  }

  Result<Turn> ReadTurn(size_t message) {
    FACET_ASSIGN(const RenderedPrompt asked, Render(message, true));
    FACET_ASSIGN(RenderedPrompt produced, Produced(message, asked));
    const Json& answer = messages_[message];
    if (const std::string thought(Trim(answer.value("reasoning_content", ""), " \t\r\n"));
        !thought.empty() && !produced.text.starts_with("<|channel>")) {
      if (!context_.tokenizer.Find("<|channel>"))
        return Error{"reasoning_content: this model has no notation for thoughts",
                     ErrorKind::kUnsupported};
      PrependThought(thought, produced);
    }
    Turn turn;
    FACET_ASSIGN(turn.answer, AnswerTokens(produced, answer.contains("tool_calls")));
    const auto media = std::span(media_).first(media_before_[message]);
    FACET_ASSIGN(turn.prompt,
                 JoinMedia(context_.config, context_.tokenizer, asked, WithoutContent(media)));
    return turn;
  }

  // The produced text up to the token that ends the turn.
  Result<std::vector<TokenId>> AnswerTokens(const RenderedPrompt& produced, bool calls) const {
    const Tokenizer& tokenizer = context_.tokenizer;
    std::vector<TokenId> ids = tokenizer.Encode(produced.text, produced.plain);
    if (row_.spell) ids = Spelled(tokenizer, ids);
    const auto end =
        std::find_first_of(ids.begin(), ids.end(), context_.ends.begin(), context_.ends.end());
    if (end == ids.begin()) return Error{"content: the answer is empty"};
    if (end != ids.end()) {
      ids.erase(end + 1, ids.end());
      return ids;
    }
    // A call whose results are still to come: some templates leave the turn open there.
    const auto response = tokenizer.Find("<|tool_response>");
    if (!calls || !response) {
      return Error{
          "the chat template writes no token that ends this turn: the model would never stop",
          ErrorKind::kUnsupported};
    }
    ids.push_back(*response);
    return ids;
  }

  static bool Continues(const Turn& turn, const Turn& before) {
    const std::vector<TokenId>& ids = turn.prompt.ids;
    const size_t asked = before.prompt.ids.size();
    return asked + before.answer.size() <= ids.size() &&
           std::equal(before.prompt.ids.begin(), before.prompt.ids.end(), ids.begin()) &&
           std::equal(before.answer.begin(), before.answer.end(),
                      ids.begin() + static_cast<std::ptrdiff_t>(asked));
  }

  // The example of a chain of turns, each of which continues the one before. The last example takes
  // the media, the others copy what they need of them.
  Example Join(std::span<Turn> chain, bool last) {
    Turn& end = chain.back();
    Example example;
    example.tokens = std::move(end.prompt.ids);
    const size_t asked = example.tokens.size();
    example.tokens.insert(example.tokens.end(), end.answer.begin(), end.answer.end());
    example.labelled.assign(asked, 0);
    example.labelled.resize(example.tokens.size(), 1);
    for (const Turn& turn : chain.first(chain.size() - 1)) {
      std::fill_n(example.labelled.begin() + static_cast<std::ptrdiff_t>(turn.prompt.ids.size()),
                  turn.answer.size(), 1);
    }
    size_t next = 0;
    for (MediaExpansion& expansion : media_) {
      for (MediaExpansion::Run& run : expansion.runs) {
        if (next == end.prompt.items.size()) return example;
        auto item = last ? std::move(run.item) : std::make_shared<SoftItem>(*run.item);
        item->begin = end.prompt.items[next++]->begin;
        example.items.push_back(std::move(item));
      }
    }
    return example;
  }

  const RenderContext& context_;
  const Row& row_;
  Json messages_;  // of the row, a film's sound being a part of its own
  std::vector<MediaExpansion> media_;
  std::vector<size_t> media_before_;  // by message: media in the messages before it
  std::map<size_t, RenderedPrompt> histories_;
};

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

Result<std::vector<Example>> Renderer::PlainExample(const Row& row) const {
  Example example;
  if (const auto bos = tokenizer_.bos(); bos && tokenizer_.add_bos())
    example.tokens.push_back(*bos);
  // The border between prompt and completion is one between tokens: they are encoded apart.
  const auto asked = tokenizer_.EncodePlain(row.plain->prompt);
  example.tokens.insert(example.tokens.end(), asked.begin(), asked.end());
  std::vector<TokenId> answer = tokenizer_.EncodePlain(row.plain->completion);
  if (answer.empty()) return Error{"nothing to learn: the text is empty"};
  if (row.spell) answer = Spelled(tokenizer_, answer);
  if (const auto eos = tokenizer_.eos()) answer.push_back(*eos);
  example.labelled.assign(example.tokens.size(), 0);
  example.tokens.insert(example.tokens.end(), answer.begin(), answer.end());
  example.labelled.resize(example.tokens.size(), 1);
  example.labelled[0] = 0;  // no token predicts the first
  return std::vector{std::move(example)};
}

Result<std::vector<Example>> Renderer::Examples(const Row& row, MediaUse use) const {
  if (row.plain) return PlainExample(row);
  if (chat_template_ == nullptr) {
    return Error{"this model has no chat template: give prompt and completion, or text",
                 ErrorKind::kUnsupported};
  }
  const RenderContext context{config_, tokenizer_, *chat_template_, ends_, special_};
  return ConversationRenderer(context, row).Examples(use);
}

}  // namespace facet::tune
