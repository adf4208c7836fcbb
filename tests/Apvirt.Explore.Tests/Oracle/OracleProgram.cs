using System.Globalization;

namespace Apvirt.Explore.Tests.Oracle;

/// <summary>One instruction of a task.</summary>
/// <param name="Text">The instruction as it was written.</param>
/// <param name="Kind">The step that it is; a write-lock is a <see cref="StepKind.Grant"/>.</param>
/// <param name="Object">The index of its object.</param>
/// <param name="Skip">How many of the next instructions are passed over when the answer is 0.</param>
/// <param name="Value">What a store writes.</param>
internal sealed record Instruction(string Text, StepKind Kind, int Object, int Skip, long Value);

/// <summary>An object that a program names.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Family">What it is.</param>
/// <param name="Tried">Whether some instruction of the program tries it, so that the moment of a release can be seen.</param>
internal sealed record OracleObject(string Name, ObjectFamily Family, bool Tried);

/// <summary>A program of a few tasks, read from its text.</summary>
internal sealed class OracleProgram
{
    /// <summary>How many tasks a program may have: the state of a lock is a mask of tasks.</summary>
    internal const int TasksMax = 8;

    private OracleProgram(Instruction[][] tasks, OracleObject[] objects)
    {
        Tasks = tasks;
        Objects = objects;
    }

    internal Instruction[][] Tasks { get; }

    internal OracleObject[] Objects { get; }

    /// <summary>Reads a program of one line: tasks are parted by <c>|</c>, instructions by <c>,</c>.</summary>
    internal static OracleProgram Parse(string text) =>
        Parse(text.Split('|').Select(task => task.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)));

    /// <summary>Reads a program: for each task its instructions.</summary>
    internal static OracleProgram Parse(IEnumerable<IEnumerable<string>> tasks)
    {
        Dictionary<string, int> indices = [];
        List<OracleObject> objects = [];
        Instruction[][] read = [.. tasks.Select(task => task.Select(text => ParseOne(text, indices, objects)).ToArray())];
        if (read.Length is 0 or > TasksMax)
            throw new FormatException($"{read.Length} tasks, expected 1 to {TasksMax}");
        foreach (Instruction[] task in read)
        {
            for (int at = 0; at < task.Length; at++)
            {
                if (at + 1 + task[at].Skip > task.Length)
                    throw new FormatException($"'{task[at].Text}' skips past the end of its task");
            }
        }
        return new OracleProgram(read, [.. objects]);
    }

    /// <summary>The program as one line, which <see cref="Parse(string)"/> reads.</summary>
    public override string ToString() => string.Join(" | ", Tasks.Select(task => string.Join(", ", task.Select(i => i.Text))));

    private static Instruction ParseOne(string text, Dictionary<string, int> indices, List<OracleObject> objects)
    {
        string[] words = text.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (words.Length < 2)
            throw new FormatException($"'{text}' names no object");
        (StepKind kind, ObjectFamily family) = words[0] switch
        {
            "lock" => (StepKind.Lock, ObjectFamily.Mutex),
            "unlock" => (StepKind.Unlock, ObjectFamily.Mutex),
            "try" => (StepKind.Try, ObjectFamily.Mutex),
            "spin" => (StepKind.Lock, ObjectFamily.Spin),
            "unspin" => (StepKind.Unlock, ObjectFamily.Spin),
            "read-lock" => (StepKind.ReadLock, ObjectFamily.ReadWrite),
            "read-unlock" => (StepKind.ReadUnlock, ObjectFamily.ReadWrite),
            "write-lock" => (StepKind.Grant, ObjectFamily.ReadWrite),
            "write-unlock" => (StepKind.WriteUnlock, ObjectFamily.ReadWrite),
            "try-read" => (StepKind.TryRead, ObjectFamily.ReadWrite),
            "try-write" => (StepKind.TryWrite, ObjectFamily.ReadWrite),
            "wait" when words.Length > 2 => (StepKind.TimedWait, ObjectFamily.Event),
            "wait" => (StepKind.Wait, ObjectFamily.Event),
            "complete" => (StepKind.Complete, ObjectFamily.Event),
            "complete-all" => (StepKind.CompleteAll, ObjectFamily.Event),
            "reset" => (StepKind.Reset, ObjectFamily.Event),
            "load" => (StepKind.Load, ObjectFamily.Memory),
            "store" => (StepKind.Store, ObjectFamily.Memory),
            _ => throw new FormatException($"'{text}' is no instruction"),
        };
        ReadOnlySpan<string> rest = words.AsSpan(2);
        long value = 0;
        if (kind == StepKind.Store)
        {
            value = rest.Length > 0 ? long.Parse(rest[0], CultureInfo.InvariantCulture) : throw new FormatException($"'{text}' stores nothing");
            rest = rest[1..];
        }
        if (kind == StepKind.TimedWait)
        {
            if (rest.Length < 2 || rest[0] != "for" || !char.IsAsciiDigit(rest[1][0]))
                throw new FormatException($"'{text}' says no duration");
            rest = rest[2..];
        }
        int skip = 0;
        if (rest.Length == 2 && rest[0] == "skip" && Semantics.HasAnswer(kind))
            skip = int.Parse(rest[1], NumberStyles.None, CultureInfo.InvariantCulture);
        else if (rest.Length > 0)
            throw new FormatException($"'{text}' says too much");
        return new Instruction(text, kind, Declare(words[1], kind, family, indices, objects), skip, value);
    }

    private static int Declare(string name, StepKind kind, ObjectFamily family, Dictionary<string, int> indices, List<OracleObject> objects)
    {
        if (!indices.TryGetValue(name, out int index))
        {
            indices[name] = index = objects.Count;
            objects.Add(new OracleObject(name, family, Tried: false));
        }
        if (objects[index].Family != family)
            throw new FormatException($"{name} is a {objects[index].Family} and a {family}");
        if (kind is StepKind.Try or StepKind.TryRead or StepKind.TryWrite)
            objects[index] = objects[index] with { Tried = true };
        return index;
    }
}
