using Apvirt.Host.Traces;

namespace Apvirt.Host.Tests.Traces;

/// <summary>Every trace recorded from the real 6.12 driver replays with the same answers.</summary>
public sealed class ConformanceTests
{
    public static TheoryData<string> Traces() =>
        [.. Directory.GetFiles(TraceFolder(), "*.jsonl").Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Traces))]
    public void Replays_with_the_recorded_answers(string trace)
    {
        byte[] text = File.ReadAllBytes(Path.Combine(TraceFolder(), trace));
        TraceReplayResult result = TraceReplay.Run(trace, text);
        Assert.Null(result.Error);
        Assert.Equal(text.AsSpan().Count("\n"u8) - 1, result.OperationCount);
        Assert.Empty(result.Differences.Select(d => $"{trace}:{d.Line}: {d.Question} {d.Field}: recorded {d.Recorded}, answered {d.Answered}"));
    }

    // Recorded later from the same kernel, with more of what is unusual.
    [Fact]
    public void More_recordings_of_the_same_kernel_replay()
    {
        string[] files = [.. Directory.GetFiles(Path.Combine(TraceFolder(), "..", "linux-6.12-more"), "*.jsonl").Order(StringComparer.Ordinal)];
        Assert.Equal(26, files.Length);
        foreach (string file in files)
        {
            TraceReplayResult result = TraceReplay.Run(Path.GetFileName(file), File.ReadAllBytes(file));
            Assert.Null(result.Error);
            Assert.Empty(result.Differences.Select(d => $"{file}:{d.Line}: {d.Question} {d.Field}: recorded {d.Recorded}, answered {d.Answered}"));
        }
    }

    [Fact]
    public void Finds_all_recorded_traces() => Assert.Equal(92, Traces().Count);

    private static string TraceFolder()
    {
        DirectoryInfo? at = new(AppContext.BaseDirectory);
        while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
            at = at.Parent;
        return Path.Combine(at!.FullName, "tests", "conformance", "traces");
    }
}
