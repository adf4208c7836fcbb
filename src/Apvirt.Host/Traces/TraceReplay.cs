using System.Text.Json;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel.Checking;

namespace Apvirt.Host.Traces;

/// <summary>One difference between what was recorded and what this host answers.</summary>
/// <param name="Line">Line in the trace.</param>
/// <param name="Question">The operation without answers.</param>
/// <param name="Field">The answer field.</param>
/// <param name="Recorded">What was recorded, as JSON; null if the field is not in the recording.</param>
/// <param name="Answered">What this host answers, as JSON; null if it does not answer with this field.</param>
public sealed record TraceDifference(int Line, string Question, string Field, string? Recorded, string? Answered);

/// <summary>How a replay went.</summary>
/// <param name="File">Name of the trace.</param>
/// <param name="About">What it is about.</param>
/// <param name="OperationCount">Number of operations that ran.</param>
/// <param name="Differences">The differences, in order.</param>
/// <param name="Error">What is wrong with the trace; null if nothing is.</param>
public sealed record TraceReplayResult(
    string File, string About, int OperationCount, IReadOnlyList<TraceDifference> Differences, TraceError? Error);

/// <summary>Replays traces against the real driver's answers.</summary>
public static class TraceReplay
{
    /// <summary>Replays a trace on a host of its own.</summary>
    /// <param name="file">Name of the trace, for reports.</param>
    /// <param name="text">The trace.</param>
    /// <param name="answered">Called for each operation with its answer, good during the call.</param>
    /// <param name="profile">Whose quirks apply; those of the recorded kernel if null.</param>
    /// <param name="checks">What is checked meanwhile; null if nothing is.</param>
    /// <param name="files">Makes another way to the host's files; they are read and written in its tree if null.</param>
    public static TraceReplayResult Run(
        string file, ReadOnlyMemory<byte> text, Action<TraceLine, Answer>? answered = null, Profile? profile = null, KernelChecks? checks = null,
        Func<TraceSession, ITraceFiles>? files = null)
    {
        TraceReader reader = new(file, text);
        if (reader.ReadHeader(out TraceHeader? header) is { } badHeader)
            return new TraceReplayResult(file, "", 0, [], badHeader);
        TraceSession session = new(header!.ToSetup() with { Profile = profile ?? Profile.Linux612 }, checks, files);
        List<TraceDifference> differences = [];
        int count = 0;
        while (true)
        {
            if (reader.ReadOperation(out TraceLine? line) is { } badLine)
                return new TraceReplayResult(file, header.About, count, differences, badLine);
            if (line is null)
                return new TraceReplayResult(file, header.About, count, differences, Error: null);
            using (line)
            {
                Answer answer = session.Run(line);
                count++;
                Compare(line, answer, differences);
                answered?.Invoke(line, answer);
            }
        }
    }

    // Lines without any answer are questions only and cannot differ.
    private static void Compare(TraceLine line, Answer answer, List<TraceDifference> differences)
    {
        int found = 0;
        int differing = differences.Count;
        foreach ((string name, AnswerValue value) in answer.Fields)
        {
            if (!line.Fields.TryGetProperty(name, out JsonElement recorded))
            {
                differences.Add(new TraceDifference(line.Number, "", name, Recorded: null, value.ToString()));
                continue;
            }
            found++;
            if (!value.Matches(recorded))
                differences.Add(new TraceDifference(line.Number, "", name, recorded.GetRawText(), value.ToString()));
        }
        int expected = 0;
        foreach (string name in line.Operation!.Answers)
        {
            if (!TraceWriter.IsAnswer(line, name) || !line.Fields.TryGetProperty(name, out JsonElement recorded))
                continue;
            expected++;
            if (answer.Fields.All(f => !string.Equals(f.Key, name, StringComparison.Ordinal)))
                differences.Add(new TraceDifference(line.Number, "", name, recorded.GetRawText(), Answered: null));
        }
        if (expected == 0 && found == 0)
            differences.RemoveRange(differing, differences.Count - differing);
        for (int i = differing; i < differences.Count; i++)
            differences[i] = differences[i] with { Question = line.Question };
    }
}
