#include "tune/data/packing.h"

#include <algorithm>

namespace facet::tune {
namespace {

bool IsPicture(const SoftItem& item) {
  return item.kind != SoftItem::Kind::kAudio;
}

Result<void> Check(const TextConfig& config, const Example& example) {
  const int64_t length = static_cast<int64_t>(example.tokens.size());
  if (example.labelled.size() != example.tokens.size())
    return Expected(Cat(length, " labels"), example.labelled.size(), example.where);
  if (length > config.context)
    return Error{
        Cat(example.where, ": ", length, " tokens do not fit into the context of ", config.context),
        ErrorKind::kResource};
  for (const TokenId token : example.tokens) {
    if (token < 0 || token >= config.vocab)
      return Expected(Cat("a token id below ", config.vocab), token, example.where);
  }
  int64_t free = 0;
  for (const auto& item : example.items) {
    if (item->begin < free || item->count < 0 || item->begin + int64_t{item->count} > length)
      return Error{
          Cat(example.where, ": soft tokens at ", item->begin, " overlap others or the end")};
    free = item->begin + item->count;
  }
  return Ok();
}

// The picture that a position lies in; null outside.
const SoftItem* PictureAt(const Example& example, int position) {
  for (const auto& item : example.items) {
    if (IsPicture(*item) && item->begin <= position && position < item->begin + item->count)
      return item.get();
  }
  return nullptr;
}

class Packer {
 public:
  Packer(const TextConfig& config, PackedBatch& out) : config_(config), out_(out) {}

  Result<void> Add(const Example& example) {
    FACET_TRY(Check(config_, example));
    const auto last =
        std::find(example.labelled.rbegin(), example.labelled.rend(), uint8_t{1}).base();
    int needed = static_cast<int>(last - example.labelled.begin()) - 1;  // rows before that token
    if (needed < 1)
      return Error{Cat(example.where, ": no token is labelled, so nothing would be learnt")};
    if (const SoftItem* picture = PictureAt(example, needed - 1))
      needed = picture->begin + picture->count;
    base_ = static_cast<int32_t>(out_.tokens.size());
    for (int p = 0; p < needed; ++p) AddRow(example, p);
    for (const auto& item : example.items) {
      if (item->begin >= needed || item->count == 0) continue;
      out_.items.push_back({item.get(), base_ + item->begin});
      (IsPicture(*item) ? out_.pictures : out_.sounds) = true;
    }
    return Ok();
  }

 private:
  void AddRow(const Example& example, int p) {
    int end = p + 1;
    if (config_.image_bidirectional) {
      if (const SoftItem* picture = PictureAt(example, p)) end = picture->begin + picture->count;
    }
    out_.tokens.push_back(example.tokens[p]);
    out_.rows.positions.push_back(p);
    out_.rows.full.push_back({base_, base_ + p + 1});
    out_.rows.sliding.push_back({base_ + std::max(0, p - config_.window + 1), base_ + end});
    if (static_cast<size_t>(p + 1) < example.tokens.size() && example.labelled[p + 1]) {
      out_.rows.outputs.push_back(base_ + p);
      out_.targets.push_back(example.tokens[p + 1]);
    }
  }

  const TextConfig& config_;
  PackedBatch& out_;
  int32_t base_ = 0;
};

}  // namespace

Result<PackedBatch> Pack(const TextConfig& config, std::span<const Example* const> batch) {
  PackedBatch out;
  Packer packer(config, out);
  for (const Example* example : batch) FACET_TRY(packer.Add(*example));
  return out;
}

}  // namespace facet::tune
