#include "sandbox/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "sandbox/cgroup.h"
#include "sandbox/seccomp.h"
#include "sandbox/start_script.h"

namespace facet::sandbox {
namespace {

using nlohmann::json;

constexpr double kStartSeconds = 60;  // imports on a machine that has other things to do
constexpr int kTickMs = 50;           // between two looks at the clock and at `cancel`
constexpr double kSpareSeconds = 10;  // of the processor, beside what the clock allows
constexpr size_t kAddressSpace = size_t{3} << 30;  // beside memory: libraries are mapped
constexpr size_t kOverhead = size_t{1} << 20;      // of frames beside files

// What arrives on the results pipe: lines "KIND NAME-LENGTH SIZE", with name and content behind
// them. From inside the sandbox, so anything may arrive.
class ResultReader {
 public:
  explicit ResultReader(size_t most) : most_(most) {}

  // False where what arrives is no result, or too much.
  bool Feed(std::string_view bytes, RawOutcome& out) {
    taken_ += bytes.size();
    if (taken_ > most_) return false;
    pending_ += bytes;
    while (!ended_) {
      const size_t line = pending_.find('\n');
      if (line == std::string::npos) return pending_.size() < 64;
      const std::string head = pending_.substr(0, line);
      char kind[16] = "";
      size_t name_length = 0, size = 0;
      if (std::sscanf(head.c_str(), "%15s %zu %zu", kind, &name_length, &size) != 3) return false;
      if (name_length > 4096 || size > most_) return false;
      if (pending_.size() < line + 1 + name_length + size) return true;
      Take(kind, pending_.substr(line + 1, name_length),
           pending_.substr(line + 1 + name_length, size), out);
      pending_.erase(0, line + 1 + name_length + size);
    }
    return true;
  }

  bool ready() const { return ready_; }
  bool ended() const { return ended_; }

 private:
  void Take(std::string_view kind, std::string name, std::string content, RawOutcome& out) {
    if (kind == "ready") ready_ = true;
    if (kind == "file") out.files.push_back({std::move(name), std::move(content)});
    if (kind == "left_out") out.left_out.push_back(std::move(name));
    if (kind == "end") {
      out.end = std::move(name);
      ended_ = true;
    }
  }

  const size_t most_;
  size_t taken_ = 0;
  std::string pending_;
  bool ready_ = false, ended_ = false;
};

void MakeNonBlocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

// Appends what can be read now. False at the end.
bool ReadSome(int fd, std::string& out) {
  char buffer[65536];
  const ssize_t count = read(fd, buffer, sizeof(buffer));
  if (count > 0) out.append(buffer, static_cast<size_t>(count));
  return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

// False where the other side is gone.
bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

// What is still under way when the sandbox has ended.
void Drain(int fd, std::string& out, size_t most) {
  const Clock::time_point start = Clock::now();
  while (out.size() < most && SecondsSince(start) < 1) {
    pollfd wait{fd, POLLIN, 0};
    if (poll(&wait, 1, 100) <= 0) continue;
    if (!ReadSome(fd, out)) return;
  }
}

}  // namespace

std::string Frame(const std::string& text) {
  return Cat(text.size(), "\n", text);
}

struct Worker::Streams {
  Descriptor output, errors, results, control;
};

Worker::Worker(WorkerOptions options) : options_(std::move(options)) {
  if (auto pipe = MakePipe(); pipe.ok()) wake_ = std::move(*pipe);
  keeper_ = std::thread([this] { Keep(); });
}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
  }
  Wake();
  keeper_.join();
}

void Worker::Wake() {
  const char byte = 0;
  if (wake_.write.valid() && write(wake_.write.get(), &byte, 1) < 0) return;  // it looks anyway
}

Result<RawOutcome> Worker::Run(const Program& program, const std::atomic<bool>* cancel) {
  const json job = {{"source", program.source}, {"input", program.input}};
  std::unique_lock lock(mutex_);
  program_ = Frame(job.dump(-1, ' ', false, json::error_handler_t::replace));
  cancel_ = cancel;
  Wake();
  changed_.wait(lock, [this] { return result_.has_value(); });
  return *result_;
}

// The keeper's thread.
void Worker::Keep() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // SIGPIPE too: a sandbox may end at any time
  Streams streams;
  Result<RawOutcome> result = RawOutcome{};
  if (const auto begun = Begin(streams); begun.ok()) {
    result = Drive(streams);
    kill(process_, SIGKILL);  // bubblewrap, whose end ends the first process inside, and so all
    EndCgroup(group_);
    while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
    RemoveCgroup(group_);
    if (result.ok()) {
      Drain(streams.output.get(), result->output, options_.limits.printed);
      Drain(streams.errors.get(), result->errors, options_.limits.printed);
      if (result->end == "broken") result = Error{result->errors, ErrorKind::kUnsupported};
    }
  } else {
    result = begun.error();
  }
  const std::lock_guard lock(mutex_);
  result_ = std::move(result);
  changed_.notify_all();
}

Result<void> Worker::Begin(Streams& streams) {
  FACET_ASSIGN(Pipe output, MakePipe());
  FACET_ASSIGN(Pipe errors, MakePipe());
  FACET_ASSIGN(Pipe control, MakePipe());
  FACET_ASSIGN(Pipe results, MakePipe());
  FACET_ASSIGN(Pipe arguments, MakePipe());
  FACET_ASSIGN(Pipe filter, MakePipe());
  const Descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::string confinement;
  for (const std::string& word : options_.confinement) confinement += word + '\0';
  // A pipe takes this much without a reader.
  const std::string code = SandboxFilter();
  if (confinement.size() > 60000 || code.size() > 60000)
    return Error{"the sandbox needs more folders than can be named", ErrorKind::kUnsupported};
  if (!WriteAll(arguments.write.get(), confinement) || !WriteAll(filter.write.get(), code))
    return Error{"the sandbox could not be described", ErrorKind::kIo};
  arguments.write.Close();
  filter.write.Close();

  const Limits& limits = options_.limits;
  Launch launch;
  launch.program = options_.bubblewrap;
  launch.words = {"bwrap", "--args", "5", "--"};
  launch.words.insert(launch.words.end(), options_.interpreter.begin(), options_.interpreter.end());
  launch.descriptors = {nothing.get(),      output.write.get(),  errors.write.get(),
                        control.read.get(), results.write.get(), arguments.read.get(),
                        filter.read.get()};
  launch.limits = {{RLIMIT_CORE, 0},
                   {RLIMIT_AS, limits.memory + kAddressSpace},
                   {RLIMIT_CPU, static_cast<rlim_t>(limits.seconds + kSpareSeconds)},
                   {RLIMIT_FSIZE, 2 * limits.files_bytes},
                   {RLIMIT_NOFILE, 256}};
  Descriptor group;
  group_ = MakeCgroup(limits.memory, limits.threads + 8, group);
  launch.cgroup = group.get();
  FACET_ASSIGN(process_, Start(launch));
  streams.output = std::move(output.read);
  streams.errors = std::move(errors.read);
  streams.results = std::move(results.read);
  streams.control = std::move(control.write);
  for (const Descriptor* stream : {&streams.output, &streams.errors, &streams.results})
    MakeNonBlocking(stream->get());
  return Ok();
}

Result<RawOutcome> Worker::Drive(Streams& streams) {
  RawOutcome out;
  ResultReader reader(options_.limits.files_bytes + kOverhead);
  std::optional<Clock::time_point> began;
  // The sandbox is gone or talks nonsense: while it started, that is for Open to explain; later the
  // program has done it.
  const auto broken = [&] {
    out.end = began ? "signal 9" : "broken";
    return out;
  };
  if (!WriteAll(streams.control.get(), Frame(std::string(StartScript()))) ||
      !WriteAll(streams.control.get(), Frame(options_.settings)))
    return broken();
  const Clock::time_point started = Clock::now();
  bool output_open = true, errors_open = true;
  while (true) {
    pollfd wait[4] = {{streams.results.get(), POLLIN, 0},
                      {output_open ? streams.output.get() : -1, POLLIN, 0},
                      {errors_open ? streams.errors.get() : -1, POLLIN, 0},
                      {wake_.read.get(), POLLIN, 0}};
    poll(wait, 4, kTickMs);
    if (wait[1].revents != 0) output_open = ReadSome(streams.output.get(), out.output);
    if (wait[2].revents != 0) errors_open = ReadSome(streams.errors.get(), out.errors);
    if (wait[0].revents != 0) {
      std::string arrived;
      const bool open = ReadSome(streams.results.get(), arrived);
      if (!reader.Feed(arrived, out) || (!open && !reader.ended())) return broken();
    }
    const std::atomic<bool>* cancel = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (abandoned_) return broken();
      cancel = cancel_;
      if (program_ && reader.ready() && !began) {
        began = Clock::now();
        if (!WriteAll(streams.control.get(), *program_)) return broken();
      }
    }
    if (char byte; wait[3].revents != 0 && read(wake_.read.get(), &byte, 1) < 0) return broken();
    out.seconds = began ? SecondsSince(*began) : 0;
    if (reader.ended()) return out;
    if (cancel != nullptr && cancel->load()) out.end = "cancelled";
    if (out.seconds > options_.limits.seconds) out.end = "time";
    if (!began && SecondsSince(started) > kStartSeconds && !reader.ready()) return broken();
    if (out.output.size() + out.errors.size() > options_.limits.printed) out.end = "printed";
    if (!out.end.empty()) return out;
  }
}

}  // namespace facet::sandbox
