#include "serve/openai/spoken_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/result.h"
#include "base/utf8.h"

namespace facet::serve {
namespace {

constexpr double kSampleRate = 16000;

// --- loudness

constexpr size_t kFrame = 320;   // 20 ms
constexpr float kSilence = -70;  // decibels of full scale: below it nobody speaks
constexpr double kBridged = 0.15, kShortest = 0.06;  // seconds of a pause, of a word

std::vector<float> Decibels(std::span<const float> samples) {
  std::vector<float> out;
  for (size_t at = 0; at < samples.size(); at += kFrame) {
    const size_t count = std::min(kFrame, samples.size() - at);
    double power = 0;
    for (size_t i = 0; i < count; ++i) power += double{samples[at + i]} * samples[at + i];
    out.push_back(static_cast<float>(10 * std::log10(power / static_cast<double>(count) + 1e-12)));
  }
  return out;
}

float Percentile(std::vector<float> values, double share) {
  const auto at = values.begin() + static_cast<ptrdiff_t>(share * (values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

// --- characters

struct Range {
  char32_t first, last;
};
bool IsIn(char32_t c, std::span<const Range> ranges) {
  return std::ranges::any_of(ranges, [c](Range r) { return c >= r.first && c <= r.last; });
}

// Scripts that write no spaces between words: every character may stand alone.
bool StandsAlone(char32_t c) {
  constexpr Range kScripts[] = {
      {0x3040, 0x30FF}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0x20000, 0x323AF}};
  return IsIn(c, kScripts);
}
// What must not be torn from the character before it: marks, and punctuation that closes.
bool Clings(char32_t c) {
  constexpr Range kMarks[] = {
      {0x0300, 0x036F}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E}, {0x200D, 0x200D},
      {0x3001, 0x3002}, {0x300B, 0x300B}, {0x300D, 0x300D}, {0x300F, 0x300F}, {0x3099, 0x309C},
      {0x30FB, 0x30FC}, {0xFE00, 0xFE0F}, {0xFF01, 0xFF01}, {0xFF09, 0xFF09}, {0xFF0C, 0xFF0E},
      {0xFF1A, 0xFF1B}, {0xFF1F, 0xFF1F}};
  return IsIn(c, kMarks);
}
bool IsSpace(char32_t c) {
  return c <= 0x20 || c == 0x7F || c == 0x85 || c == 0xA0 || c == 0x2028 || c == 0x2029 ||
         c == 0x3000 || c == 0xFEFF;
}

// In characters; a byte that is no UTF-8 counts as one.
size_t Length(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
}

constexpr size_t kLineLength = 42;
constexpr double kLongestCue = 7, kLongestPause = 1, kShortestCue = 1;

// Words, with the characters of scripts without spaces apart. Line ends are spaces like others.
std::vector<TimedWord> SplitWords(std::string_view text) {
  std::vector<TimedWord> words;
  bool spaced = true, alone = false;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(text, at);
    const size_t bytes = std::max(c.bytes, 1);
    if (c.bytes > 0 && IsSpace(c.code)) {
      spaced = true;
      at += bytes;
      continue;
    }
    const bool stands = StandsAlone(c.code);
    const bool begins =
        words.empty() || spaced ||
        ((stands || alone || Length(words.back().text) >= kLineLength) && !Clings(c.code));
    if (begins) words.push_back({{}, {}, spaced});
    words.back().text.append(text.substr(at, bytes));
    alone = stands;
    spaced = false;
    at += bytes;
  }
  return words;
}

// Moments of the spoken time, one stretch behind the other.
class SpokenTime {
 public:
  SpokenTime(Stretch whole, const std::vector<Stretch>& spoken) {
    for (Stretch s : spoken) {
      s = {std::max(s.begin, whole.begin), std::min(s.end, whole.end)};
      if (s.end > s.begin) stretches_.push_back(s);
    }
    if (stretches_.empty()) stretches_.push_back(whole);
    for (const Stretch& s : stretches_) total_ += s.end - s.begin;
  }
  // When a share of all has been spoken; at the seam of two stretches, the `later` moment or not.
  double At(double share, bool later) const {
    double left = std::clamp(share, 0.0, 1.0) * total_;
    for (size_t i = 0; i < stretches_.size(); ++i) {
      const double length = stretches_[i].end - stretches_[i].begin;
      const bool last = i + 1 == stretches_.size();
      constexpr double kSeam = 1e-9;
      if (last || left < length - kSeam || (!later && left <= length + kSeam))
        return std::min(stretches_[i].begin + left, stretches_[i].end);
      left = std::max(0.0, left - length);
    }
    return stretches_.back().end;
  }

 private:
  std::vector<Stretch> stretches_;
  double total_ = 0;
};

bool EndsSentence(std::string_view word) {
  for (const std::string_view quote : {"\"", "'", ")", "\u201D", "\u2019", "\u00BB", "\u300D"}) {
    if (word.ends_with(quote)) word.remove_suffix(quote.size());
  }
  for (const std::string_view end : {".", "?", "!", "\u2026", "\u3002", "\uFF01", "\uFF1F"}) {
    if (word.ends_with(end)) return true;
  }
  return false;
}

using Words = std::span<const TimedWord>;

std::string JoinWords(Words words) {
  std::string line;
  for (const TimedWord& word : words) {
    if (!line.empty() && word.spaced) line += ' ';
    line += word.text;
  }
  return line;
}

// One line, or two that are as equal as can be; empty where the words need more.
std::vector<std::string> Lines(Words words) {
  const std::string whole = JoinWords(words);
  if (Length(whole) <= kLineLength || words.size() == 1) return {whole};
  std::vector<std::string> best;
  size_t least = kLineLength + 1;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string first = JoinWords(words.first(i)), second = JoinWords(words.subspan(i));
    const size_t a = Length(first), b = Length(second), longest = std::max(a, b);
    if (longest >= least) continue;
    least = longest;
    best = {first, second};
  }
  return best;
}

std::string Timestamp(double seconds, char point) {
  const auto ms = static_cast<long long>(std::llround(std::max(seconds, 0.0) * 1000));
  char text[48];
  std::snprintf(text, sizeof(text), "%02lld:%02lld:%02lld%c%03lld", ms / 3600000, ms / 60000 % 60,
                ms / 1000 % 60, point, ms % 1000);
  return text;
}

std::string Replaced(std::string text, std::string_view what, std::string_view by) {
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

}  // namespace

std::vector<Stretch> SpokenStretches(std::span<const float> samples) {
  if (samples.empty()) return {};
  const std::vector<float> loudness = Decibels(samples);
  const float quiet = Percentile(loudness, 0.1), loud = Percentile(loudness, 0.95);
  if (loud < kSilence) return {};
  const double end = static_cast<double>(samples.size()) / kSampleRate;
  constexpr float kFlat = 6;  // decibels: nothing stands out
  if (loud - quiet < kFlat) return {{0, end}};
  const float threshold = std::max(quiet + 0.35f * (loud - quiet), loud - 35);
  std::vector<Stretch> out;
  constexpr double kSeconds = kFrame / kSampleRate;
  for (size_t i = 0; i < loudness.size(); ++i) {
    if (loudness[i] < threshold) continue;
    const Stretch frame{static_cast<double>(i) * kSeconds,
                        std::min(static_cast<double>(i + 1) * kSeconds, end)};
    if (!out.empty() && frame.begin - out.back().end < kBridged) {
      out.back().end = frame.end;
    } else {
      out.push_back(frame);
    }
  }
  std::erase_if(out, [](const Stretch& s) { return s.end - s.begin < kShortest; });
  return out;
}

std::vector<TimedWord> TimeWords(std::string_view text, Stretch whole,
                                 const std::vector<Stretch>& spoken) {
  std::vector<TimedWord> words = SplitWords(text);
  const SpokenTime time(whole, spoken);
  // A word takes its letters, and a moment of its own.
  const auto weight = [](const TimedWord& word) {
    return static_cast<double>(Length(word.text)) + 1;
  };
  double all = 0, before = 0;
  for (const TimedWord& word : words) all += weight(word);
  for (TimedWord& word : words) {
    word.time.begin = time.At(before / all, true);
    before += weight(word);
    word.time.end = std::max(word.time.begin, time.At(before / all, false));
  }
  return words;
}

std::vector<Cue> MakeCues(const std::vector<TimedWord>& words) {
  std::vector<Cue> cues;
  for (size_t begin = 0; begin < words.size();) {
    size_t end = begin + 1;
    while (end < words.size()) {
      const TimedWord& last = words[end - 1];
      const TimedWord& next = words[end];
      const bool pause = next.time.begin - last.time.end > kLongestPause;
      const bool too_long = next.time.end - words[begin].time.begin > kLongestCue;
      const bool sentence =
          EndsSentence(last.text) && last.time.end - words[begin].time.begin >= kShortestCue;
      const Words with_next(&words[begin], end + 1 - begin);
      if (pause || too_long || sentence || Lines(with_next).empty()) break;
      ++end;
    }
    const Words inside(&words[begin], end - begin);
    cues.push_back({{inside.front().time.begin, inside.back().time.end}, Lines(inside)});
    begin = end;
  }
  // Long enough to be read, where the next one leaves room.
  for (size_t i = 0; i < cues.size(); ++i) {
    const double wanted = cues[i].time.begin + kShortestCue;
    const double room = i + 1 < cues.size() ? cues[i + 1].time.begin : wanted;
    cues[i].time.end = std::max(cues[i].time.end, std::min(wanted, room));
  }
  return cues;
}

std::string WriteSrt(const std::vector<Cue>& cues) {
  std::string out;
  for (size_t i = 0; i < cues.size(); ++i) {
    out += Cat(i + 1, "\n", Timestamp(cues[i].time.begin, ','), " --> ",
               Timestamp(cues[i].time.end, ','), "\n");
    // In a line it would be read as times, and the format has no way to write it.
    for (const std::string& line : cues[i].lines) out += Replaced(line, "-->", "\u2192") + "\n";
    out += "\n";
  }
  return out;
}

std::string WriteVtt(const std::vector<Cue>& cues) {
  std::string out = "WEBVTT\n\n";
  for (const Cue& cue : cues) {
    out += Cat(Timestamp(cue.time.begin, '.'), " --> ", Timestamp(cue.time.end, '.'), "\n");
    for (std::string line : cue.lines) {
      line = Replaced(std::move(line), "&", "&amp;");
      line = Replaced(std::move(line), "<", "&lt;");
      out += Replaced(std::move(line), ">", "&gt;") + "\n";
    }
    out += "\n";
  }
  return out;
}

}  // namespace facet::serve
