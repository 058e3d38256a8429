#include "tune/data/data.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tune/data/order.h"
#include "tune/data/prefetcher.h"
#include "tune/models.h"

namespace facet::tune {
namespace {

class Data : public testing::Test {
 protected:
  // A file of short conversations; the answers count up.
  std::filesystem::path Write(const std::string& name, int rows) {
    std::ofstream out(folder_.path() / name);
    for (int i = 0; i < rows; ++i)
      out << R"({"messages": [{"role": "user", "content": "say )" << i
          << R"("}, {"role": "assistant", "content": ")" << i << "\"}]}\n";
    return folder_.path() / name;
  }
  std::filesystem::path WriteText(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() / name) << text;
    return folder_.path() / name;
  }
  Result<std::unique_ptr<DataSet>> Open(std::vector<DataFile> files, DataOptions options = {}) {
    options.threads = 2;
    return DataSet::Open(std::move(files), *model_->renderer, options);
  }
  std::string Error(const std::string& text, DataOptions options = {}) {
    const auto data = Open({{WriteText("bad.jsonl", text), 1}}, options);
    if (data.ok()) return "";
    std::string message = data.error().message;
    const std::string folder = folder_.path().string() + "/";
    for (size_t at; (at = message.find(folder)) != message.npos;) message.erase(at, folder.size());
    return message;
  }
  static std::vector<uint32_t> All(const DataSet& data) {
    std::vector<uint32_t> all(data.entries().size());
    std::iota(all.begin(), all.end(), 0u);
    return all;
  }

  TempFolder folder_;
  std::unique_ptr<RenderedModel> model_ = TinyModel();
};

constexpr const char* kGood =
    R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})";

TEST_F(Data, CountsWhatItHas) {
  const auto data = Open({{Write("a.jsonl", 5), 1}});
  ASSERT_TRUE(data.ok());
  EXPECT_EQ((*data)->rows(), 5);
  EXPECT_EQ((*data)->labelled(), 5 * 2);  // a digit and the end of the turn
  EXPECT_EQ((*data)->Where((*data)->entries()[3]), (folder_.path() / "a.jsonl").string() + ":4");
  const auto example = (*data)->Build(3);
  ASSERT_TRUE(example.ok());
  EXPECT_TRUE(ShowMask(*example, *model_->tokenizer, false).ends_with("⟦3<turn|>⟧"));
}

TEST_F(Data, ErrorsNameFileAndLine) {
  EXPECT_EQ(Error(Cat(kGood, "\n\n{\"messages\": 1}\n")),
            "bad.jsonl:3: messages: expected a list but got 1");
  EXPECT_TRUE(Error(Cat(kGood, "\n{broken\n", kGood, "\n{\"x\": 1}"))
                  .starts_with("bad.jsonl:2: not valid JSON: "));
  EXPECT_NE(
      Error(R"({"prompt": "a", "completion": NaN})").find("1: not valid JSON: NaN is no number"),
      std::string::npos);
  const std::pair<std::string, std::string> kinds[] = {
      {std::string("\x1f\x8b\x08\0", 4), "compressed by gzip; unpack it first"},
      {std::string("PK\3\4", 4), "a zip archive"},
      {std::string("\xff\xfe{\0", 4), "UTF-16; convert it to UTF-8: iconv"},
      {"<!DOCTYPE html><html>", "a web page"},
      {"PAR1\x15\4", "a Parquet table; write it as JSON lines"},
      {"%PDF-1.5", "a PDF document"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"},
      {std::string(50, '\0'), "a download that did not finish"}};
  for (const auto& [content, name] : kinds) {
    const std::string error = Error(content);
    EXPECT_TRUE(error.starts_with("bad.jsonl: expected JSON lines but got ")) << error;
    EXPECT_NE(error.find(name), std::string::npos) << error;
  }
  EXPECT_EQ(Error(""), "bad.jsonl: has no examples");
  EXPECT_NE(Error("[{}]").find("jq -c '.[]'"), std::string::npos);
  DataOptions options;
  options.max_tokens = 10;
  EXPECT_EQ(Error(kGood, options),
            "bad.jsonl:1: the example has 21 tokens, more than the 10 that fit; it is not cut: "
            "shorten it or leave it out");
  const auto missing = Open({{folder_.path() / "none.jsonl", 1}});
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
}

TEST_F(Data, ReadsWeights) {
  const std::string file = Write("a.jsonl", 1).string();
  EXPECT_EQ(ParseDataFile(file)->weight, 1);
  EXPECT_EQ(ParseDataFile(file + ":0.25")->weight, 0.25);
  EXPECT_EQ(ParseDataFile(file + ":0.25")->path, file);
  EXPECT_EQ(ParseDataFile("odd:name")->path, "odd:name");
  EXPECT_FALSE(ParseDataFile(file + ":-1").ok());
  EXPECT_FALSE(ParseDataFile(file + ":0.0001").ok());
}

TEST_F(Data, MixesFilesByWeight) {
  const auto data = Open({{Write("a.jsonl", 10), 2}, {Write("b.jsonl", 20), 0.25}});
  ASSERT_TRUE(data.ok());
  const auto first = EpochOrder(**data, All(**data), 7, 0);
  ASSERT_EQ(first.size(), 25u);
  std::vector<int> seen(30, 0);
  for (const uint32_t index : first) ++seen[index];
  for (int i = 0; i < 10; ++i) EXPECT_EQ(seen[i], 2);
  EXPECT_EQ(std::accumulate(seen.begin() + 10, seen.end(), 0), 5);
  EXPECT_EQ(first, EpochOrder(**data, All(**data), 7, 0));
  EXPECT_NE(first, EpochOrder(**data, All(**data), 8, 0));
  const auto second = EpochOrder(**data, All(**data), 7, 1);
  EXPECT_NE(first, second);
  EXPECT_NE(std::set(first.begin(), first.end()), std::set(second.begin(), second.end()));
}

// One row that weighs a third is in every third epoch, and a run of so many steps has an end.
TEST_F(Data, SmallSharesComeInTurn) {
  const auto data = Open({{Write("a.jsonl", 1), 1.0 / 3}});
  ASSERT_TRUE(data.ok());
  size_t seen = 0;
  for (int epoch = 0; epoch < 9; ++epoch) seen += EpochOrder(**data, All(**data), 7, epoch).size();
  EXPECT_EQ(seen, 3u);
  Plan plan(**data, All(**data), {.max_steps = 4});
  EXPECT_EQ(plan.steps(), 4);
  for (int64_t step = 0; step < 4; ++step) EXPECT_EQ(plan.Step(step).batches.size(), 1u);
}

TEST_F(Data, SplitsRowsBySeed) {
  const auto data = Open({{Write("a.jsonl", 50), 1}});
  const auto split = SplitByRow(**data, 0.2, 3);
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->validation.size(), 10u);
  EXPECT_EQ(split->train.size(), 40u);
  std::set<uint32_t> all(split->train.begin(), split->train.end());
  all.insert(split->validation.begin(), split->validation.end());
  EXPECT_EQ(all.size(), 50u);
  EXPECT_EQ(split->validation, SplitByRow(**data, 0.2, 3)->validation);
  EXPECT_NE(split->validation, SplitByRow(**data, 0.2, 4)->validation);
  EXPECT_FALSE(SplitByRow(**data, 0.999, 3).ok());
  EXPECT_TRUE(SplitByRow(**data, 0, 3)->validation.empty());
}

TEST_F(Data, AnswersOfOneConversationAreSplitTogether) {
  std::string text;
  for (int i = 0; i < 20; ++i)
    text +=
        R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]})";
  for (size_t at = 0; (at = text.find('\n', at)) != text.npos;) text.erase(at, 1);
  for (size_t at = 0; (at = text.find("}{", at)) != text.npos;) text.insert(at + 1, "\n");
  const auto data = Open({{WriteText("turns.jsonl", text), 1}});
  ASSERT_TRUE(data.ok()) << data.error().message;
  ASSERT_EQ((*data)->entries().size(), 40u);
  const auto split = SplitByRow(**data, 0.3, 1);
  std::set<uint32_t> train, validation;
  for (const uint32_t i : split->train) train.insert((*data)->entries()[i].row);
  for (const uint32_t i : split->validation) validation.insert((*data)->entries()[i].row);
  for (const uint32_t row : validation) EXPECT_FALSE(train.contains(row));
  EXPECT_EQ(validation.size(), 6u);
}

TEST_F(Data, BatchesHoldWhatFits) {
  const auto data = Open({{Write("a.jsonl", 9), 1}});
  const int longest = (*data)->longest();
  const auto batches = MakeBatches(**data, All(**data), longest * 2);
  ASSERT_EQ(batches.size(), 5u);
  for (size_t i = 0; i + 1 < batches.size(); ++i) EXPECT_EQ(batches[i].size(), 2u);
}

TEST_F(Data, PlanKnowsEveryStep) {
  const auto data = Open({{Write("a.jsonl", 9), 1}});
  PlanOptions options;
  options.batch_tokens = (*data)->longest() * 2;  // five batches
  options.accumulate = 2;
  options.epochs = 2;
  Plan plan(**data, All(**data), options);
  ASSERT_EQ(plan.steps(), 6);
  EXPECT_TRUE(plan.EndsEpoch(3));
  EXPECT_FALSE(plan.EndsEpoch(4));
  std::vector<int> seen(9, 0);
  for (int64_t step = 0; step < 6; ++step) {
    const StepPlan s = plan.Step(step);
    EXPECT_EQ(s.batches.size(), step % 3 == 2 ? 1u : 2u);
    for (const Batch& batch : s.batches) {
      for (const uint32_t i : batch) ++seen[i];
    }
  }
  for (const int count : seen) EXPECT_EQ(count, 2);
  EXPECT_DOUBLE_EQ(plan.Step(5).epoch, 2);
  EXPECT_EQ(plan.Step(1).batches, Plan(**data, All(**data), options).Step(1).batches);
  options.max_steps = 100;
  EXPECT_EQ(Plan(**data, All(**data), options).steps(), 100);
  options.max_steps = 0;
  options.epochs = 0.5;
  EXPECT_EQ(Plan(**data, All(**data), options).steps(), 2);
}

TEST_F(Data, PrefetchesInOrder) {
  const auto data = Open({{Write("a.jsonl", 40), 1}});
  Prefetcher::Limits tight;
  tight.ahead = 2;
  tight.cache_bytes = 1000;
  for (const auto& limits : {Prefetcher::Limits(), tight}) {
    Prefetcher prefetcher(**data, limits);
    std::vector<uint32_t> order(100);
    for (uint32_t i = 0; i < 100; ++i) order[i] = i * 7 % 40;
    for (int round = 0; round < 2; ++round) {
      prefetcher.Start(order);
      for (const uint32_t index : order) {
        const auto example = prefetcher.Next();
        ASSERT_TRUE(example.ok());
        EXPECT_EQ((*example)->tokens, (*data)->Build(index)->tokens);
      }
    }
    prefetcher.Start(order);  // and leaves it waiting
  }
}

TEST_F(Data, FingerprintIsOfTheExamples) {
  const auto a = Open({{Write("a.jsonl", 5), 1}}), b = Open({{Write("b.jsonl", 5), 1}});
  EXPECT_EQ((*a)->Fingerprint(), (*b)->Fingerprint());
  EXPECT_NE((*a)->Fingerprint(), (*Open({{Write("c.jsonl", 6), 1}}))->Fingerprint());
}

}  // namespace
}  // namespace facet::tune
