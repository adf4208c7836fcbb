using System.Diagnostics;
using System.Globalization;

namespace Apvirt.Bench.Peers;

/// <summary>What a program that was run has left.</summary>
/// <param name="Status">Its exit status; -1 if it was stopped because it took too long.</param>
/// <param name="Output">What it printed.</param>
/// <param name="Errors">What it complained of.</param>
/// <param name="Elapsed">How long it ran, with its start.</param>
internal sealed record ChildResult(int Status, string Output, string Errors, TimeSpan Elapsed)
{
    /// <summary>Why it failed, as far as a line of what it said tells: the first that names an error, or the last.</summary>
    internal string Reason
    {
        get
        {
            string[] lines = (Errors + "\n" + Output).Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
            string? said = Array.Find(lines, line => line.Contains("error", StringComparison.OrdinalIgnoreCase)) ?? lines.LastOrDefault();
            return said ?? (Status == -1 ? "it was stopped, it took too long" : $"it ended with status {Status} and said nothing");
        }
    }

    /// <summary>A value of lines of the form <c>name=value</c>; null if there is none of that name.</summary>
    /// <param name="name">Its name.</param>
    internal string? Text(string name) =>
        Output.Split('\n').Where(line => line.StartsWith(name + "=", StringComparison.Ordinal)).Select(line => line[(name.Length + 1)..].TrimEnd()).FirstOrDefault();

    /// <summary>A number of such lines; null if there is none of that name.</summary>
    /// <param name="name">Its name.</param>
    internal double? Number(string name) => Text(name) is { } text ? double.Parse(text, CultureInfo.InvariantCulture) : null;
}

/// <summary>Runs programs.</summary>
internal static class ChildProcess
{
    /// <summary>Where a program is; null if it is on no path and in no folder of .NET tools.</summary>
    /// <param name="name">Its name.</param>
    internal static string? Find(string name)
    {
        string tools = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".dotnet", "tools");
        return (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries).Append(tools)
            .Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
    }

    /// <summary>Runs a program to its end, or until it takes too long.</summary>
    /// <param name="program">The program.</param>
    /// <param name="folder">The folder it runs in.</param>
    /// <param name="limit">The most time.</param>
    /// <param name="arguments">Its arguments.</param>
    internal static ChildResult Run(string program, string folder, TimeSpan limit, params IEnumerable<string> arguments)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        // Coyote's tool asks for an older runtime than the one that is here, and neither it nor the SDK is to report to anybody.
        start.Environment["DOTNET_ROLL_FORWARD"] = "Major";
        start.Environment["COYOTE_CLI_TELEMETRY_OPTOUT"] = "1";
        start.Environment["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1";
        long begin = Stopwatch.GetTimestamp();
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        bool hasEnded = process.WaitForExit(limit);
        if (!hasEnded)
            process.Kill(entireProcessTree: true);
        process.WaitForExit();
        TimeSpan elapsed = Stopwatch.GetElapsedTime(begin);
        return new ChildResult(hasEnded ? process.ExitCode : -1, output.GetAwaiter().GetResult(), errors.GetAwaiter().GetResult(), elapsed);
    }
}
