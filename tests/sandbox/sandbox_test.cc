// Hostile programs, inside and outside.
#include "sandbox/sandbox.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/clock.h"
#include "base/mapped_file.h"
#include "sandbox/attacks.h"
#include "sandbox/process.h"
#include "support/namespaces.h"
#include "support/temp_folder.h"
#include "support/vocabularies.h"

namespace facet::sandbox {
namespace {

namespace fs = std::filesystem;
using End = Outcome::End;

// Where no namespaces are to be had there is nothing to test but that nothing runs (Off, below).
class SandboxTest : public testing::Test {
 protected:
  void SetUp() override {
    UseTestCache();
    FACET_NEEDS_NAMESPACES();
    static const Result<Sandbox> opened = Sandbox::Open();
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    sandbox_ = &*opened;
  }

  Outcome Run(const std::string& source, Job job = {}) {
    auto outcome = sandbox_->Run({.source = source}, std::move(job));
    EXPECT_TRUE(outcome.ok()) << outcome.error().message;
    return outcome.ok() ? std::move(*outcome) : Outcome{};
  }

  bool Has(const char* package) const { return sandbox_->python().packages.contains(package); }

  const Sandbox* sandbox_ = nullptr;
};

// A PNG of one colour by the standard library alone.
constexpr const char* kWritePng = R"(
import struct, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
def png(width, height, rows=None):
    rows = (b"\0" + b"\x10\x80\xf0" * width) * height if rows is None else rows
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"tEXt", b"Comment\0hidden words") + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
)";

TEST_F(SandboxTest, HoldsOffEveryAttack) {
  const auto findings = TryAttacks(*sandbox_);
  ASSERT_EQ(findings.size(), Attacks().size());
  for (const Finding& finding : findings) {
    EXPECT_TRUE(finding.held) << finding.attack->protection << ": " << finding.attack->name << " "
                              << finding.note;
  }
}

// The same programs outside: an attack that cannot succeed would show nothing above.
TEST_F(SandboxTest, TheAttacksWorkOutsideSlow) {
  const AttackTarget target;
  std::string lacking;
  for (const Attack& attack : Attacks()) {
    const TempFolder folder;
    const fs::path program = folder.path() / "attack.py", output = folder.path() / "output";
    ASSERT_TRUE(WriteFile(program, Cat("import os\nos.chdir('", folder.path().string(), "')\n",
                                       target.Program(attack)))
                    .ok());
    const auto code = RunCommand({.words = {sandbox_->python().executable, "-I", program},
                                  .input = {},
                                  .output = output,
                                  .quiet = true});
    ASSERT_TRUE(code.ok()) << code.error().message;
    const bool worked = ReadFile(output)->find("BREACH") != std::string::npos;
    if (!worked && *attack.needs != '\0') {
      lacking += Cat("\n  ", attack.name, " (needs ", attack.needs, ")");
    } else {
      EXPECT_TRUE(worked) << attack.name;
    }
  }
  if (!lacking.empty()) std::printf("not possible outside on this machine:%s\n", lacking.c_str());
}

TEST_F(SandboxTest, GivesOutputValuesAndErrors) {
  const Outcome fine = Run("import sys\nprint('one')\nprint('two', file=sys.stderr)\n6 * 7");
  EXPECT_EQ(fine.end, End::kFinished) << fine.errors;
  EXPECT_EQ(fine.output, "one\n42\n");
  EXPECT_EQ(fine.errors, "two\n");
  const Outcome wrong = Run("rows = {'a': 1}\ndef pick():\n    return rows['site']\npick()");
  EXPECT_EQ(wrong.end, End::kFailed);
  EXPECT_EQ(wrong.code, 1);
  EXPECT_EQ(wrong.Why(), "KeyError: 'site'");
  EXPECT_NE(wrong.errors.find("File \"program.py\", line 3, in pick\n    return rows['site']"),
            std::string::npos)
      << wrong.errors;
  EXPECT_EQ(wrong.errors.find("start.py"), std::string::npos) << wrong.errors;
  EXPECT_EQ(Run("print('x").Why().substr(0, 12), "SyntaxError:");
  EXPECT_EQ(Run("raise SystemExit(3)").code, 3);
  const Outcome died = Run("import os\nprint('before')\nos.kill(os.getpid(), 11)");
  EXPECT_EQ(died.end, End::kDied);
  EXPECT_EQ(died.code, 11);
  EXPECT_EQ(died.output, "before\n");
  EXPECT_EQ(Run("print(input())").Why(), "EOFError: EOF when reading a line");
}

TEST_F(SandboxTest, PicturesAreReadAndWrittenAgainAndOtherFilesComeOut) {
  const Outcome outcome = Run(Cat(kWritePng, R"(
import os
os.mkdir("sub")
open("sub/small.png", "wb").write(png(7, 5))
open("table.csv", "w").write("a,b\n1,2\n")
open("fake.png", "wb").write(b"<svg onload='x'>")
open("bomb.png", "wb").write(png(30000, 30000, b"\0" * 1000))
os.symlink("/etc/passwd", "plot.png")
os.symlink("/etc/passwd", "words.txt")
)"));
  ASSERT_EQ(outcome.end, End::kFinished) << outcome.errors;
  ASSERT_EQ(outcome.pictures.size(), 1u);
  const MadePicture& picture = outcome.pictures[0];
  EXPECT_EQ(picture.name, "small.png");
  EXPECT_EQ(picture.width, 7);
  EXPECT_EQ(picture.height, 5);
  EXPECT_EQ(picture.png.find("hidden words"), std::string::npos);
  EXPECT_EQ(picture.png.substr(1, 3), "PNG");
  ASSERT_EQ(outcome.files.size(), 1u);
  EXPECT_EQ(outcome.files[0].name, "table.csv");
  EXPECT_EQ(outcome.files[0].bytes, "a,b\n1,2\n");
  ASSERT_EQ(outcome.left_out.size(), 2u);
}

TEST_F(SandboxTest, FiguresAreKeptHoweverAProgramShowsThem) {
  if (!Has("matplotlib")) GTEST_SKIP() << "no matplotlib: " << sandbox_->python().Describe();
  Job job;
  job.prepare = {"matplotlib.pyplot"};
  const auto names = [&](const std::string& body) {
    const Outcome outcome = Run("import matplotlib.pyplot as plt\n" + body, job);
    EXPECT_EQ(outcome.end, End::kFinished) << outcome.errors;
    std::string list;
    for (const MadePicture& picture : outcome.pictures) list += picture.name + " ";
    return list;
  };
  EXPECT_EQ(names("plt.plot([1, 2])\nplt.show()"), "plot-1.png ");
  EXPECT_EQ(names("plt.plot([1, 2])"), "plot-1.png ");
  EXPECT_EQ(names("plt.plot([1, 2])\nplt.savefig('own.png')"), "own.png ");
  EXPECT_EQ(names("plt.plot([1, 2])\nplt.savefig('own.png')\nplt.show()"), "own.png ");
  EXPECT_EQ(names("plt.plot([1, 2])\nplt.show()\nplt.bar([1], [2])\nplt.show()"),
            "plot-1.png plot-2.png ");
  EXPECT_EQ(names("import matplotlib\nmatplotlib.use('Agg')\nplt.plot([1, 2])\nplt.show()"),
            "plot-1.png ");
}

TEST_F(SandboxTest, FindsTheFolderAndLeavesItAlone) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFile(folder.path() / "reef.csv", "site,bleached\nA,4\n").ok());
  std::error_code code;
  fs::create_symlink("/etc/passwd", folder.path() / "link.txt", code);
  Job job;
  job.folder = folder.path();
  Outcome outcome = Run(R"(
import os
print(open("reef.csv").read(), sorted(os.listdir(".")))
open("reef.csv", "a").write("B,7\n")
open("made.csv", "w").write("x")
os.chmod("made.csv", 0o4755)
os.mkdir("deep")
with open("deep/er.txt", "w") as deep:
    deep.write("y")
)",
                        job);
  EXPECT_EQ(outcome.output, "site,bleached\nA,4\n ['reef.csv']\n");
  EXPECT_EQ(*ReadFile(folder.path() / "reef.csv"), "site,bleached\nA,4\n");
  ASSERT_TRUE(KeepFiles(folder.path(), outcome).ok());
  EXPECT_EQ(*ReadFile(folder.path() / "reef.csv"), "site,bleached\nA,4\nB,7\n");
  EXPECT_EQ(*ReadFile(folder.path() / "deep/er.txt"), "y");
  struct stat info {};
  ASSERT_EQ(stat((folder.path() / "made.csv").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 06111, 0u);  // neither setuid nor executable
}

TEST_F(SandboxTest, NothingOfOneProgramReachesTheNext) {
  Run(R"(
import os
for path in ("/tmp/left", "sitecustomize.py", "/tmp/matplotlib/matplotlibrc"):
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        open(path, "w").write("figure.dpi: 10\n")
    except OSError:
        pass
)");
  const Outcome next = Run(R"(
import os, sys
print(os.listdir("."), os.path.exists("/tmp/left"), "sitecustomize" in sys.modules,
      os.path.exists("/tmp/matplotlib/matplotlibrc"))
)");
  EXPECT_EQ(next.output, "[] False False False\n") << next.errors;
}

// A folder's files are data: a module beside them is not imported in place of a library's.
TEST_F(SandboxTest, FilesOfTheFolderAreNoModules) {
  const TempFolder folder;
  for (const char* name : {"random.py", "sitecustomize.py", "numpy.py"})
    ASSERT_TRUE(WriteFile(folder.path() / name, "print('planted')\n").ok());
  Job job;
  job.folder = folder.path();
  EXPECT_EQ(Run("import random\ntry:\n    import numpy\nexcept ImportError:\n    pass", job).output,
            "");
}

TEST_F(SandboxTest, OutputHasALimitAndNoEscapes) {
  const Outcome outcome = Run("print('a' * 100000 + '\\x1b[31mred\\x1b]0;title\\x07\\u202e')");
  EXPECT_LT(outcome.output.size(), size_t{17} << 10);
  EXPECT_NE(outcome.output.find(" bytes left out ..."), std::string::npos);
  EXPECT_TRUE(outcome.output.ends_with("red\xEF\xBF\xBD\n"));
  EXPECT_EQ(outcome.output.find('\033'), std::string::npos);
}

// The bombs without an end. The caller goes on meanwhile, and they end when they should.
TEST_F(SandboxTest, BombsLeaveTheCallerAnswering) {
  const std::pair<const char*, End> kBombs[] = {
      {"import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
       End::kTime},
      {"held = []\nwhile True:\n    held.append(bytearray(b'x') * (1 << 20))", End::kFailed},
      {"import mmap\nheld = []\nwhile True:\n    held.append(mmap.mmap(-1, 1 << 20))\n"
       "    held[-1].write(b'x' * (1 << 20))",
       End::kMemory},
      {"n = 0\nwhile True:\n    open(str(n), 'wb').write(b'x' * (1 << 20))\n    n += 1",
       End::kFailed},
      {"n = 0\nwhile True:\n    open(str(n), 'w').close()\n    n += 1", End::kFiles},
      {"while True:\n    pass", End::kTime},
      {"while True:\n    print('x' * 1000)", End::kPrinted},
      {"import threading, time\nthreading.stack_size(65536)\nwhile True:\n"
       "    try:\n        threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
       "    except RuntimeError:\n        time.sleep(0.01)",
       End::kTime}};
  for (const auto& [source, end] : kBombs) {
    Outcome outcome;
    std::atomic<bool> done = false;
    const Clock::time_point start = Clock::now();
    std::thread runner([&, source = source] {
      outcome = Run(source, {.limits = AttackLimits()});
      done = true;
    });
    double longest = 0;
    while (!done) {
      const Clock::time_point before = Clock::now();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      longest = std::max(longest, SecondsSince(before));
    }
    runner.join();
    EXPECT_LT(longest, 1.0) << source;
    // Threads are counted by the kernel for others than root, else by the supervisor.
    if (end == End::kTime && outcome.end == End::kThreads) continue;
    EXPECT_EQ(outcome.end, end) << source << "\n" << outcome.Why();
    EXPECT_LT(outcome.seconds, AttackLimits().seconds + 1) << source;
    EXPECT_LT(SecondsSince(start), 60) << source;
  }
}

TEST_F(SandboxTest, CanBeStoppedAndOutlivesNobody) {
  std::atomic<bool> stop = false;
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop = true;
  });
  const auto outcome = sandbox_->Run({.source = "while True: pass"}, {}, &stop);
  stopper.join();
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->end, End::kCancelled);
  EXPECT_LT(outcome->seconds, 10);
  // One that is prepared and not used goes with its owner.
  const Clock::time_point start = Clock::now();
  sandbox_->Prepare({}).reset();
  EXPECT_LT(SecondsSince(start), 10);
}

TEST_F(SandboxTest, ProgramsRunBesideEachOther) {
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      const Outcome outcome = Run(Cat("open('mine', 'w').write('", i, "')\nprint(", i, ")"));
      if (outcome.output == Cat(i, "\n") && outcome.files.size() == 1 &&
          outcome.files[0].bytes == Cat(i))
        ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 6);
}

// --- Where a protection is missing nothing runs, and the reason is named.

class Off : public testing::Test {
 protected:
  // A bubblewrap that does what the shell script says.
  Result<Sandbox> OpenWith(const std::string& script) {
    UseTestCache();
    const fs::path file = folder_.path() / "bwrap";
    EXPECT_TRUE(WriteFile(file, "#!/bin/sh\n" + script).ok());
    chmod(file.c_str(), 0755);
    return Sandbox::Open({.bubblewrap = file, .python = "python3"});
  }
  TempFolder folder_;
};

// What every bubblewrap is called with: its options in descriptor 5, then the command.
constexpr const char* kTakeCommand = "while [ \"$1\" != -- ]; do shift; done; shift\n";

TEST_F(Off, WithoutBubblewrap) {
  const std::string path = getenv("PATH");
  setenv("PATH", folder_.path().c_str(), 1);
  const auto opened = Sandbox::Open();
  setenv("PATH", path.c_str(), 1);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().kind, ErrorKind::kUnsupported);
  EXPECT_NE(opened.error().message.find("Python is off: bubblewrap is not installed"),
            std::string::npos)
      << opened.error().message;
}

TEST_F(Off, WithoutUserNamespaces) {
  const auto opened = OpenWith("echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1");
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("setting up uid map: Permission denied"),
            std::string::npos);
  EXPECT_NE(opened.error().message.find("AppArmor"), std::string::npos) << opened.error().message;
}

TEST_F(Off, WithABubblewrapThatConfinesNothing) {
  const auto opened = OpenWith(Cat(kTakeCommand, "mkdir -p /tmp; exec \"$@\""));
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("Python is off"), std::string::npos);
}

// Each protection alone left out is noticed.
TEST_F(Off, WithOneProtectionMissing) {
  FACET_NEEDS_NAMESPACES();
  const fs::path real = FindProgram("bwrap");
  const std::pair<const char*, const char*> kMissing[] = {
      {"s/--unshare-net\\x00//", ""},  // sockets are refused all the same
      {"s/--seccomp\\x006\\x00//", "the network"},
      {"s/--remount-ro\\x00\\/\\x00//", "writing outside of its folder"}};
  for (const auto& [edit, reaches] : kMissing) {
    // bubblewrap reads what is left of its options from descriptor 8.
    const std::string script =
        Cat("options=$(mktemp)\ncat <&5 > \"$options\"\nsed -i '", edit, "' \"$options\"\n",
            kTakeCommand, "exec 8< \"$options\"; rm \"$options\"\nexec ", real.string(),
            " --args 8 -- \"$@\"");
    const auto opened = OpenWith(script);
    if (*reaches == '\0') {
      EXPECT_TRUE(opened.ok()) << edit << ": " << opened.error().message;
    } else {
      ASSERT_FALSE(opened.ok()) << edit;
      EXPECT_NE(opened.error().message.find(reaches), std::string::npos)
          << edit << ": " << opened.error().message;
    }
  }
}

}  // namespace
}  // namespace facet::sandbox
