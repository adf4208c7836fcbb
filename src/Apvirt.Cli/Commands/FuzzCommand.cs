using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Apvirt.Ap.Profiles;
using Apvirt.Cli.Rendering;
using Apvirt.Host.Checks;
using Apvirt.Host.Fuzzing;
using Apvirt.Kernel.Checking;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt fuzz</c>: random operations by several callers at once, everything checked.</summary>
internal static class FuzzCommand
{
    private const int EpisodeLength = 480;

    internal static Command Create(CommandIo io)
    {
        Option<ulong> seed = new("--seed") { Description = "Same seed, same run.", DefaultValueFactory = _ => 1 };
        Option<int> operations = new("--operations") { Description = "How many operations.", DefaultValueFactory = _ => 100_000 };
        Option<int> tasks = new("--tasks") { Description = "How many callers at once. Of one alone it is also checked that what is refused has changed nothing.", DefaultValueFactory = _ => 8 };
        Option<string> engine = new("--engine") { Description = "Who decides which caller goes on. random: each step is drawn. pct: callers have drawn priorities, which change at a few drawn steps.", DefaultValueFactory = _ => "random" };
        engine.AcceptOnlyFromAmong("random", "pct");
        Option<string?> replay = new("--replay") { Description = "Run a file that an earlier failure wrote, exactly as it was." };
        Option<string> output = new("--output") { Description = "Where a failure is written.", DefaultValueFactory = _ => "fuzz-failure.jsonl" };
        Option<string> profile = CheckOptions.ProfileName();
        profile.DefaultValueFactory = _ => Profile.Strict.Name;
        Command command = new("fuzz", "Random operations of every kind, several at once, with injected faults and every check on. A failure is shrunk, written to a file, and replays exactly.")
        {
            seed, operations, tasks, profile, engine, replay, output,
        };
        operations.Validators.Add(result => Positive(result.GetValueOrDefault<int>(), "--operations", result.AddError));
        tasks.Validators.Add(result => Positive(result.GetValueOrDefault<int>(), "--tasks", result.AddError));
        command.SetAction(parsed => parsed.GetValue(replay) is { } file
            ? Replay(file, io)
            : Run(parsed.GetValue(seed), parsed.GetValue(operations), parsed.GetValue(tasks), Profile.Find(parsed.GetValue(profile)!)!, parsed.GetValue(engine) == "pct", parsed.GetValue(output)!, io));
        return command;
    }

    private static void Positive(int value, string option, Action<string> complain)
    {
        if (value < 1)
            complain($"{option}: expected a number of at least 1");
    }

    private static int Run(ulong seed, int operations, int tasks, Profile profile, bool hasPriorities, string output, CommandIo io)
    {
        long start = Stopwatch.GetTimestamp();
        KernelChecks checks = new(LockOrder.Declared);
        StringBuilder digests = new();
        int episodes = (operations + EpisodeLength - 1) / EpisodeLength;
        int done = 0;
        using (Progress progress = new(io, "fuzzing", episodes))
        {
            for (int episode = 0; episode < episodes; episode++)
            {
                FuzzPlan plan = FuzzPlan.Make(seed, episode, Math.Min(EpisodeLength, operations - (episode * EpisodeLength)), tasks, profile) with { HasPriorities = hasPriorities };
                FuzzResult result = FuzzRun.Run(plan, checks);
                done += result.Operations;
                digests.Append(result.Digest);
                if (result.Violations.Count > 0)
                    return Fail(plan, result.Violations[0], seed, episode, output, io);
                progress.Step();
            }
        }
        string digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(digests.ToString())));
        int predicted = checks.Violations.ToArray().Length;
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        io.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"seed {seed}: {done} operations by {tasks} tasks under {profile.Name}, 0 violations{(predicted > 0 ? $" but for {predicted} predicted" : "")}, trace sha256 {digest}"));
        io.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{seconds:F1} s, {done / seconds:F0} operations a second"));
        return ExitCodes.Ok;
    }

    private static int Fail(FuzzPlan plan, Violation violation, ulong seed, int episode, string output, CommandIo io)
    {
        io.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"seed {seed}, episode {episode}: {violation}"));
        if (violation.Details.Length > 0)
            io.Error.WriteLine(violation.Details.TrimEnd());
        FuzzPlan small = FuzzShrink.Shrink(plan, violation.Rule);
        File.WriteAllText(output, small.ToText());
        io.Error.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"shrunk from {plan.Steps.Count} operations to {small.Steps.Count}: {output} (apvirt fuzz --replay {output})"));
        return ExitCodes.Differences;
    }

    private static int Replay(string file, CommandIo io)
    {
        if (!InputFile.TryRead(file, io, out byte[] text))
            return ExitCodes.BadInput;
        if (FuzzPlan.Read(file, text, out FuzzPlan? plan) is { } error)
        {
            io.Error.WriteLine(error);
            return ExitCodes.BadInput;
        }
        KernelChecks checks = new(LockOrder.Declared);
        FuzzRun.Run(plan!, checks);
        return ViolationText.Write(io, checks) ? ExitCodes.Differences : ExitCodes.Ok;
    }
}
