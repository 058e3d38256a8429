// What a hostile program would try, as Python programs: each prints BREACH where it worked. Run in
// the sandbox they show whether it holds on this machine (`facet sandbox --check`); the tests also
// run them outside, where they work.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "sandbox/sandbox.h"

namespace facet::sandbox {

struct Attack {
  const char* protection;  // what holds it off: "network"
  const char* name;        // "a connection to this machine"
  const char* program;     // reads `target`, a dictionary
  const char* needs = "";  // what it takes to work outside: a privilege, a part of the kernel
};
std::span<const Attack> Attacks();

// Things of this machine that attacks are aimed at, made for them: a secret file, an open
// descriptor of it, a variable of the environment, servers on a TCP port, a Unix socket and an
// abstract one.
class AttackTarget {
 public:
  AttackTarget();
  ~AttackTarget();
  AttackTarget(const AttackTarget&) = delete;
  AttackTarget& operator=(const AttackTarget&) = delete;

  // The attack as a whole program.
  std::string Program(const Attack& attack) const;

 private:
  std::filesystem::path folder_;
  std::vector<int> descriptors_;
  int port_ = 0;
};

// Small, so that bombs need not be large to be bombs.
Limits AttackLimits();

struct Finding {
  const Attack* attack;
  bool held = false;
  std::string note;  // why it could not be tried
};
// Tries all of them, some at a time; `report` is told of each, in their order.
std::vector<Finding> TryAttacks(const Sandbox& sandbox,
                                const std::function<void(const Finding&)>& report = {});

}  // namespace facet::sandbox
