// How tokens are drafted and verified together (speculation.h). Never changes an answer.
#pragma once

namespace facet {

struct DraftOptions {
  enum class Mode {
    kOff,
    kAuto,   // as many drafts as pay, none included
    kFixed,  // `length` drafts wherever there is something to draft
  };
  Mode mode = Mode::kAuto;
  int length = 0;
  bool lookup = true, drafter = true;  // where drafts may come from
};

}  // namespace facet
