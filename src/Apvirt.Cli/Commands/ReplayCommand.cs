using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Apvirt.Ap.Profiles;
using Apvirt.Cli.Rendering;
using Apvirt.Host.Traces;
using Apvirt.Kernel.Checking;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt replay</c>: many traces against the answers that were recorded.</summary>
internal static class ReplayCommand
{
    internal static Command Create(CommandIo io)
    {
        Argument<string[]> paths = new("TRACE|DIR") { Description = "Traces, or directories of *.jsonl files.", Arity = ArgumentArity.OneOrMore };
        Option<bool> verbose = new("--verbose", "-v") { Description = "A line for each trace." };
        Option<bool> json = new("--json") { Description = "The result as one JSON object." };
        Option<bool> check = CheckOptions.Check();
        Option<string> profile = CheckOptions.ProfileName();
        Command command = new("replay", "Replay traces on hosts of their own and compare every answer with the recording.")
        {
            paths, verbose, json, check, profile,
        };
        command.SetAction(parsed => Run(
            parsed.GetValue(paths)!, parsed.GetValue(verbose), parsed.GetValue(json),
            CheckOptions.Create(parsed.GetValue(check)), Profile.Find(parsed.GetValue(profile)!)!, io));
        return command;
    }

    private static int Run(string[] paths, bool verbose, bool json, KernelChecks? checks, Profile profile, CommandIo io)
    {
        if (!InputFile.TryFindTraces(paths, io, out List<string> files))
            return ExitCodes.BadInput;
        (TraceReplayResult? Result, TimeSpan Time)[] results = new (TraceReplayResult?, TimeSpan)[files.Count];
        bool unreadable = false;
        using (Progress progress = new(io, "replaying", files.Count))
        {
            // Each trace has a host and a clock of its own, so they do not meet.
            Parallel.For(0, files.Count, i =>
            {
                long start = Stopwatch.GetTimestamp();
                if (InputFile.TryRead(files[i], io, out byte[] text))
                    results[i].Result = TraceReplay.Run(files[i], text, answered: null, profile, checks);
                else
                    Volatile.Write(ref unreadable, true);
                results[i].Time = Stopwatch.GetElapsedTime(start);
                progress.Step();
            });
        }
        List<TraceReplayResult> done = [.. results.Select(r => r.Result).OfType<TraceReplayResult>()];
        int operations = done.Sum(r => r.OperationCount);
        int differences = done.Sum(r => r.Differences.Count);
        foreach (TraceReplayResult broken in done.Where(r => r.Error is not null))
            io.Error.WriteLine(broken.Error);
        if (json)
            WriteJson(done, operations, differences, checks, io);
        else
            WriteText(results, operations, differences, verbose, io);
        bool isBroken = checks is not null && !json && ViolationText.Write(io, checks);
        isBroken |= checks is not null && checks.Violations.ToArray().Any(v => v.Finding is null);
        return unreadable || done.Exists(r => r.Error is not null) ? ExitCodes.BadInput
            : differences > 0 || isBroken ? ExitCodes.Differences
            : ExitCodes.Ok;
    }

    private static void WriteText(
        (TraceReplayResult? Result, TimeSpan Time)[] results, int operations, int differences, bool verbose, CommandIo io)
    {
        int width = results.Max(r => r.Result is null ? 0 : Path.GetFileName(r.Result.File).Length);
        foreach ((TraceReplayResult? result, TimeSpan time) in results)
        {
            if (result is null)
                continue;
            if (verbose)
            {
                io.Out.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{Path.GetFileName(result.File).PadRight(width)}  {result.OperationCount,6} operations  {time.TotalMilliseconds,7:F1} ms  {result.Differences.Count} differences  {result.About}"));
            }
            foreach (TraceDifference difference in result.Differences)
                DifferenceText.Write(io, result.File, difference);
        }
        io.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{results.Length} traces, {operations} operations, {differences} differences"));
    }

    private static void WriteJson(List<TraceReplayResult> results, int operations, int differences, KernelChecks? checks, CommandIo io)
    {
        var document = new
        {
            traces = results.Select(r => new
            {
                file = r.File,
                about = r.About,
                operations = r.OperationCount,
                error = r.Error is null ? null : new { line = r.Error.Line, column = r.Error.Column, message = r.Error.Message },
                differences = r.Differences.Select(d => new
                {
                    line = d.Line,
                    operation = JsonSerializer.Deserialize<JsonElement>(d.Question),
                    field = d.Field,
                    recorded = d.Recorded is null ? (JsonElement?)null : JsonSerializer.Deserialize<JsonElement>(d.Recorded),
                    answered = d.Answered is null ? (JsonElement?)null : JsonSerializer.Deserialize<JsonElement>(d.Answered),
                }),
            }),
            operations,
            differences,
            violations = checks is null ? null : ViolationText.ToJson(checks),
        };
        io.Out.WriteLine(JsonSerializer.Serialize(document, JsonText.Options));
    }
}
