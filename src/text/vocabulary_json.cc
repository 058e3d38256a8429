// tokenizer.json of the tokenizers library, as far as the Gemma family uses it; anything else is
// refused by name.
#include <nlohmann/json.hpp>

#include "base/checked.h"
#include "formats/json.h"
#include "text/vocabulary.h"

namespace facet {
namespace {

using Json = nlohmann::json;
using Token = VocabSource::Token;

// Object member, or null where it is absent.
const Json& At(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string TypeOf(const Json& value) {
  const Json& type = At(value, "type");
  return type.is_string() ? type.get<std::string>() : value.type_name();
}

Error Refused(const char* field, std::string_view what) {
  return {Cat("tokenizer.json: ", field, " ", what, " is not supported"), ErrorKind::kUnsupported};
}

bool IsReplace(const Json& value, std::string_view from, std::string_view to) {
  const Json& pattern = At(At(value, "pattern"), "String");
  return TypeOf(value) == "Replace" && pattern == Json(from) && At(value, "content") == Json(to);
}

// Members of a Sequence, or the value itself.
std::vector<const Json*> Steps(const Json& value, const char* list) {
  std::vector<const Json*> steps;
  if (TypeOf(value) != "Sequence") {
    if (!value.is_null()) steps.push_back(&value);
    return steps;
  }
  for (const Json& step : At(value, list)) steps.push_back(&step);
  return steps;
}

Result<void> ReadPipeline(const Json& file, VocabSource& source) {
  source.spaces_to_blocks = false;
  for (const Json* step : Steps(At(file, "normalizer"), "normalizers")) {
    if (!IsReplace(*step, " ", "\u2581")) return Refused("normalizer", TypeOf(*step));
    source.spaces_to_blocks = true;
  }
  // Once spaces are replaced, a split at spaces never finds one.
  for (const Json* step : Steps(At(file, "pre_tokenizer"), "pretokenizers")) {
    const bool at_spaces = TypeOf(*step) == "Split" && At(At(*step, "pattern"), "String") == " ";
    if (!at_spaces || !source.spaces_to_blocks) return Refused("pre_tokenizer", TypeOf(*step));
  }
  bool blocks_to_spaces = false;
  for (const Json* step : Steps(At(file, "decoder"), "decoders")) {
    const std::string type = TypeOf(*step);
    if (IsReplace(*step, "\u2581", " ")) {
      blocks_to_spaces = true;
    } else if (type != "ByteFallback" && type != "Fuse") {
      return Refused("decoder", type);
    }
  }
  if (blocks_to_spaces != source.spaces_to_blocks) {
    return Refused("decoder", "that does not undo the normalizer");
  }
  return Ok();
}

Result<void> CheckModel(const Json& file, const Json& model) {
  if (!model.is_object()) return Expected("an object", model.type_name(), "tokenizer.json: model");
  if (TypeOf(model) != "BPE") return Refused("model type", TypeOf(model));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& value = At(model, key);
    if (!value.is_null() && value != "") return Refused("model", key);
  }
  for (const char* key : {"dropout", "ignore_merges"}) {
    const Json& value = At(model, key);
    if (!value.is_null() && value != false && value != 0.0) return Refused("model", key);
  }
  for (const char* key : {"byte_fallback", "fuse_unk"}) {
    const Json& value = At(model, key);
    if (!value.is_null() && !value.is_boolean()) {
      return Expected("true or false", value.type_name(), Cat("tokenizer.json: model.", key));
    }
  }
  if (!At(model, "vocab").is_object()) {
    return Expected("an object", At(model, "vocab").type_name(), "tokenizer.json: model.vocab");
  }
  if (const Json& added = At(file, "added_tokens"); !added.is_null() && !added.is_array()) {
    return Expected("a list", added.type_name(), "tokenizer.json: added_tokens");
  }
  if (!At(model, "merges").is_array()) {
    return Expected("a list", At(model, "merges").type_name(), "tokenizer.json: model.merges");
  }
  return Ok();
}

Result<size_t> TokenId(const Json& value, size_t limit, std::string_view where) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= limit) {
    return Expected(Cat("an id from 0 to ", limit - 1), value.dump(), where);
  }
  return value.get<size_t>();
}

// The vocabulary and the added tokens after it; ids must be 0, 1, 2, ... without a
// gap.
Result<void> ReadTokens(const Json& vocab, const Json& added, VocabSource& source) {
  const size_t limit = vocab.size() + added.size();
  std::vector<bool> used(limit, false);
  source.tokens.resize(limit);
  for (auto entry = vocab.begin(); entry != vocab.end(); ++entry) {
    const std::string_view text = entry.key();  // lives in the document, which the source owns
    FACET_ASSIGN(const size_t id,
                 TokenId(*entry, limit, Cat("tokenizer.json: vocab[\"", text, "\"]")));
    if (used[id]) {
      return Error{Cat("tokenizer.json: \"", source.tokens[id].text, "\" and \"", text,
                       "\" both have id ", id)};
    }
    used[id] = true;
    const bool byte = text.size() == 6 && text.starts_with("<0x") && text.ends_with(">");
    source.tokens[id] = {text, byte ? TokenKind::kByte : TokenKind::kNormal};
  }
  for (const Json& entry : added) {
    const Json& content = At(entry, "content");
    if (!content.is_string()) {
      return Expected("a string", content.type_name(), "tokenizer.json: added_tokens content");
    }
    const auto& text = content.get_ref<const std::string&>();
    const std::string where = Cat("tokenizer.json: added token \"", text, "\"");
    FACET_ASSIGN(const size_t id, TokenId(At(entry, "id"), limit, where));
    if (used[id] && source.tokens[id].text != text) {
      return Error{Cat(where, ": id ", id, " already is \"", source.tokens[id].text, "\"")};
    }
    for (const char* key : {"single_word", "lstrip", "rstrip"}) {
      if (At(entry, key) == true) return Refused("added token option", key);
    }
    used[id] = true;
    source.tokens[id] = {text,
                         At(entry, "special") == true ? TokenKind::kSpecial : TokenKind::kAdded,
                         At(entry, "normalized") == true};
  }
  size_t count = limit;
  while (count > 0 && !used[count - 1]) --count;
  source.tokens.resize(count);
  for (size_t id = 0; id < count; ++id) {
    if (!used[id]) return Error{Cat("tokenizer.json: no token has id ", id, " of ", count)};
  }
  return Ok();
}

Result<void> ReadMerges(const Json& merges, const TokenIndex& index, VocabSource& source) {
  source.merges.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    std::string_view left, right;
    const Json& merge = merges[i];
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get_ref<const std::string&>();
      right = merge[1].get_ref<const std::string&>();
    } else if (merge.is_string()) {
      const std::string_view pair = merge.get_ref<const std::string&>();
      const size_t space = pair.find(' ');
      left = pair.substr(0, space);
      if (space != pair.npos) right = pair.substr(space + 1);
    }
    FACET_TRY(AddMerge(left, right, index, source));
  }
  return Ok();
}

// A token's name in a configuration file: a string, or an object with `content`.
int32_t NamedToken(const Json& config, const char* key, const char* usual,
                   const TokenIndex& index) {
  const Json& value = At(config, key);
  const Json& name = value.is_object() ? At(value, "content") : value;
  const auto found = index.find(name.is_string() ? name.get_ref<const std::string&>() : usual);
  return found == index.end() ? -1 : static_cast<int32_t>(found->second);
}

bool AddsBos(const Json& processor, int32_t bos, const VocabSource& source) {
  for (const Json* step : Steps(processor, "processors")) {
    for (const Json& item : At(*step, "single")) {
      const Json& id = At(At(item, "SpecialToken"), "id");
      if (bos >= 0 && id == Json(source.tokens[bos].text)) return true;
    }
  }
  return false;
}

}  // namespace

Result<VocabSource> ReadTokenizerJson(const std::filesystem::path& path) {
  FACET_ASSIGN(Json parsed, ReadJson(path));
  const auto file = std::make_shared<const Json>(std::move(parsed));
  VocabSource source;
  source.owner = file;
  const Json& model = At(*file, "model");
  FACET_TRY(CheckModel(*file, model));
  FACET_TRY(ReadPipeline(*file, source));
  FACET_TRY(ReadTokens(model["vocab"], At(*file, "added_tokens"), source));
  const TokenIndex index = IndexTokens(source);
  FACET_TRY(ReadMerges(model["merges"], index, source));
  source.byte_fallback = At(model, "byte_fallback") == true;
  source.fuse_unk = At(model, "fuse_unk") == true;
  if (At(model, "unk_token").is_string()) source.unk = NamedToken(model, "unk_token", "", index);

  Json config;
  const auto config_path = path.parent_path() / "tokenizer_config.json";
  std::error_code code;
  if (std::filesystem::exists(config_path, code)) {
    FACET_ASSIGN(config, ReadJson(config_path));
  }
  source.bos = NamedToken(config, "bos_token", "<bos>", index);
  source.eos = NamedToken(config, "eos_token", "<eos>", index);
  source.add_bos = AddsBos(At(*file, "post_processor"), source.bos, source);
  return source;
}

}  // namespace facet
