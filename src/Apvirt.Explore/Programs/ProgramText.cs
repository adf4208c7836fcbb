using System.Globalization;
using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Programs;

/// <summary>A program of locks in words, as a scenario file has it, with the names of its tasks and objects.</summary>
public sealed class ProgramText
{
    private enum ObjectKind
    {
        Mutex,
        Semaphore,
        SpinLock,
        Completion,
        Memory,
    }

    private sealed record Word(string Name, StepKind Kind, ObjectKind Of, bool Skips = false, bool HasTime = false, bool HasValue = false);

    private static readonly Word[] Words =
    [
        new("lock", StepKind.Lock, ObjectKind.Mutex),
        new("unlock", StepKind.Unlock, ObjectKind.Mutex),
        new("try", StepKind.Try, ObjectKind.Mutex, Skips: true),
        new("read-lock", StepKind.LockShared, ObjectKind.Semaphore),
        new("read-unlock", StepKind.UnlockShared, ObjectKind.Semaphore),
        new("write-lock", StepKind.Lock, ObjectKind.Semaphore),
        new("write-unlock", StepKind.Unlock, ObjectKind.Semaphore),
        new("try-read", StepKind.TryShared, ObjectKind.Semaphore, Skips: true),
        new("try-write", StepKind.Try, ObjectKind.Semaphore, Skips: true),
        new("spin", StepKind.Lock, ObjectKind.SpinLock),
        new("unspin", StepKind.Unlock, ObjectKind.SpinLock),
        new("wait", StepKind.Wait, ObjectKind.Completion, Skips: true, HasTime: true),
        new("complete", StepKind.Complete, ObjectKind.Completion),
        new("complete-all", StepKind.CompleteAll, ObjectKind.Completion),
        new("reset", StepKind.Reset, ObjectKind.Completion),
        new("load", StepKind.Read, ObjectKind.Memory, Skips: true),
        new("store", StepKind.Write, ObjectKind.Memory, HasValue: true),
    ];

    private readonly List<string> _objects = [];
    private readonly List<ObjectKind> _kinds = [];
    private readonly List<string> _tasks = [];
    private readonly List<Instruction[]> _code = [];
    private readonly List<string[]> _words = [];

    /// <summary>Names of the tasks.</summary>
    public IReadOnlyList<string> Tasks => _tasks;

    /// <summary>Names of the objects, in the order of their first use.</summary>
    public IReadOnlyList<string> Objects => _objects;

    /// <summary>Whether a task that waits to have a lock exclusively keeps out those who come to share it.</summary>
    public bool HasQueues { get; set; } = true;

    /// <summary>The program.</summary>
    public LockProgram Program
    {
        get
        {
            LockProgram program = new(_objects.Count, _code) { HasQueues = HasQueues };
            for (int i = 0; i < _objects.Count; i++)
                program.IsShared[i] |= _kinds[i] == ObjectKind.Semaphore;
            return program;
        }
    }

    /// <summary>What a task does, in words.</summary>
    /// <param name="task">Number of the task.</param>
    public IReadOnlyList<string> WordsOf(int task) => _words[task];

    /// <summary>Adds a task.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="instructions">What it does: <c>lock a</c>, <c>load x skip 2</c> and so on.</param>
    /// <param name="wrong">Number of the instruction that is wrong.</param>
    /// <returns>What is wrong and what was expected; null if nothing is.</returns>
    public string? Add(string name, IReadOnlyList<string> instructions, out int wrong)
    {
        Instruction[] code = new Instruction[instructions.Count];
        for (wrong = 0; wrong < code.Length; wrong++)
        {
            if (Read(instructions[wrong], code.Length - wrong - 1, out code[wrong]) is { } error)
                return error;
        }
        wrong = code.Length - 1;
        if (Unbalanced(code, out wrong) is { } unbalanced)
            return unbalanced;
        _tasks.Add(name);
        _code.Add(code);
        _words.Add([.. instructions]);
        return null;
    }

    /// <summary>What has become of a run, the same text for all executions with the same outcome.</summary>
    /// <param name="run">The run, at its end.</param>
    public string OutcomeOf(LockProgramRun run) => string.Join(' ', _tasks.Select((task, i) =>
        string.Create(CultureInfo.InvariantCulture, $"{task}@{run.At(i)}[{string.Join(',', run.Answers[i])}]")));

    private string? Read(string text, int left, out Instruction instruction)
    {
        instruction = default;
        string[] parts = text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length == 0 || Array.Find(Words, word => word.Name == parts[0]) is not { } word)
            return $"\"{text}\" is no instruction; expected one of: {string.Join(", ", Words.Select(word => word.Name))}";
        if (parts.Length == 1)
            return $"\"{text}\" names no object; expected \"{word.Name} NAME{(word.HasValue ? " VALUE" : "")}\"";
        if (ObjectOf(parts[1], word.Of) is not { } target)
            return $"\"{parts[1]}\" is a {Describe(_kinds[_objects.IndexOf(parts[1])])}; expected a {Describe(word.Of)} for \"{word.Name}\"";
        StepKind kind = word.Kind;
        int at = 2;
        int value = 1;
        if (word.HasValue)
        {
            if (parts.Length < 3 || !int.TryParse(parts[2], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value))
                return $"\"{text}\" has no value; expected \"{word.Name} NAME VALUE\", the value a whole number";
            at = 3;
        }
        if (word.HasTime && parts.Length > at && parts[at] == "for")
        {
            if (parts.Length == at + 1 || !IsTime(parts[at + 1]))
                return $"\"{text}\" has no time; expected \"wait NAME for TIME\" as in \"wait e for 20ms\"";
            kind = StepKind.WaitFor;
            at += 2;
        }
        int skip = 0;
        if (word.Skips && kind != StepKind.Wait && parts.Length > at && parts[at] == "skip")
        {
            if (parts.Length == at + 1 || !int.TryParse(parts[at + 1], NumberStyles.None, CultureInfo.InvariantCulture, out skip) || skip > left)
                return $"\"{text}\" skips no number of the {left} instructions that follow it; expected \"skip N\", N from 0 to {left}";
            at += 2;
        }
        if (at < parts.Length)
            return $"\"{text}\" goes on with \"{parts[at]}\"; expected nothing more there";
        instruction = new Instruction(kind, target, skip, value);
        return null;
    }

    private int? ObjectOf(string name, ObjectKind kind)
    {
        int known = _objects.IndexOf(name);
        if (known >= 0)
            return _kinds[known] == kind ? known : null;
        _objects.Add(name);
        _kinds.Add(kind);
        return _objects.Count - 1;
    }

    // A unit, and a number before it: the order of things does not depend on it.
    private static bool IsTime(string text)
    {
        string number = text.TrimEnd('n', 'u', 'm', 's', 'h', 'i');
        return number.Length > 0 && double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out _);
    }

    // On each path, what is released was taken. Taking what one has is allowed: it is a deadlock that one may want to see.
    private string? Unbalanced(Instruction[] code, out int wrong)
    {
        wrong = 0;
        Stack<(int At, (int Object, bool IsShared)[] Held)> paths = new([(0, [])]);
        HashSet<string> seen = new(StringComparer.Ordinal);
        while (paths.TryPop(out (int At, (int Object, bool IsShared)[] Held) path))
        {
            if (path.At >= code.Length || !seen.Add($"{path.At} {string.Join(' ', path.Held)}"))
                continue;
            Instruction next = code[path.At];
            wrong = path.At;
            (int, bool) hold = (next.Object, next.Kind is StepKind.LockShared or StepKind.TryShared or StepKind.UnlockShared);
            switch (next.Kind)
            {
                case StepKind.Lock or StepKind.LockShared or StepKind.Try or StepKind.TryShared:
                    paths.Push((path.At + 1, [.. path.Held, hold]));
                    if (next.Kind is StepKind.Try or StepKind.TryShared)
                        paths.Push((path.At + 1 + next.Skip, path.Held));
                    break;
                case StepKind.Unlock or StepKind.UnlockShared:
                    if (!path.Held.Contains(hold))
                        return $"the task does not have \"{_objects[next.Object]}\" when it comes here; expected it to be taken before, on every path";
                    int last = Array.LastIndexOf(path.Held, hold);
                    paths.Push((path.At + 1, [.. path.Held[..last], .. path.Held[(last + 1)..]]));
                    break;
                default:
                    paths.Push((path.At + 1, path.Held));
                    if (next.Skip > 0)
                        paths.Push((path.At + 1 + next.Skip, path.Held));
                    break;
            }
        }
        return null;
    }

    private static string Describe(ObjectKind kind) => kind switch
    {
        ObjectKind.Mutex => "mutex",
        ObjectKind.Semaphore => "reader/writer lock",
        ObjectKind.SpinLock => "spin lock",
        ObjectKind.Completion => "completion",
        _ => "piece of memory",
    };
}
