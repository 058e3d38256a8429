// Ranges of options that are numbers, with messages for people.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"

namespace facet::cli {

// `wanted` is how the error goes on: "expected a number above 0 but got 0".
template <typename F>
CLI::Validator NumberThat(std::string wanted, F holds) {
  return {[wanted = std::move(wanted), holds](std::string& text) -> std::string {
            double value = 0;
            if (CLI::detail::lexical_cast(text, value) && holds(value)) return "";
            return Cat("expected ", wanted, " but got ", text);
          },
          ""};
}

inline CLI::Validator AboveZero() {
  return NumberThat("a number above 0", [](double v) { return v > 0; });
}
inline CLI::Validator NotNegative() {
  return NumberThat("0 or more", [](double v) { return v >= 0; });
}
inline CLI::Validator NumberBetween(double low, double high) {
  return NumberThat(Cat("a number from ", low, " to ", high),
                    [low, high](double v) { return v >= low && v <= high; });
}

}  // namespace facet::cli
