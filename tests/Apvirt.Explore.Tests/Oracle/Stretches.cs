namespace Apvirt.Explore.Tests.Oracle;

/// <summary>Random stretches of instructions, each of which leaves a task with the locks that it began with.</summary>
internal sealed class Stretches(Random random, Ingredients of)
{
    private readonly HashSet<string> _held = new(StringComparer.Ordinal);

    /// <summary>A spin lock is held, under which nothing may sleep.</summary>
    private bool _spinning;

    /// <summary>A stretch of at most that many instructions.</summary>
    internal List<string> Make(int length)
    {
        List<string> stretch = [];
        for (int tries = 0; tries < 8 && stretch.Count < length; tries++)
            stretch.AddRange(Piece(length - stretch.Count));
        return stretch;
    }

    private List<string> Piece(int length)
    {
        (int sections, int events, int memory) = of.Weights;
        int chosen = random.Next(sections + events + memory);
        if (chosen < sections)
            return length < 2 ? [] : Section(length);
        if (chosen < sections + events)
            return OfEvent(length);
        return OfMemory(length);
    }

    private List<string> Section(int length)
    {
        if (!_spinning && length >= 4 && of.Mutexes.Length > 1 && random.Next(8) == 0)
            return Overlapping(length);
        string[] free = [.. (_spinning ? of.Spins : [.. of.Mutexes, .. of.Spins, .. of.ReadWrites]).Where(name => !_held.Contains(name))];
        if (free.Length == 0)
            return [];
        string name = free[random.Next(free.Length)];
        bool spin = of.Spins.Contains(name);
        bool tries = !spin && random.Next(100) < of.Tries;
        bool before = _spinning;
        _spinning |= spin;
        _held.Add(name);
        List<string> body = Make(random.Next(100) < of.Deep ? length - 2 : random.Next(0, length - 1));
        _held.Remove(name);
        _spinning = before;
        string skip = tries ? $" skip {body.Count + 1}" : "";
        (string enter, string leave) = spin ? ("spin", "unspin")
            : of.Mutexes.Contains(name) ? (tries ? "try" : "lock", "unlock")
            : random.Next(5) < 3 ? (tries ? "try-read" : "read-lock", "read-unlock")
            : (tries ? "try-write" : "write-lock", "write-unlock");
        return [$"{enter} {name}{skip}", .. body, $"{leave} {name}"];
    }

    /// <summary>Two mutexes, of which the first is released first.</summary>
    private List<string> Overlapping(int length)
    {
        string[] free = [.. of.Mutexes.Where(name => !_held.Contains(name))];
        if (free.Length < 2)
            return [];
        random.Shuffle(free);
        _held.Add(free[1]);
        List<string> after = Make(random.Next(0, Math.Min(2, length - 3)));
        _held.Remove(free[1]);
        return [$"lock {free[0]}", $"lock {free[1]}", $"unlock {free[0]}", .. after, $"unlock {free[1]}"];
    }

    private List<string> OfEvent(int length)
    {
        if (of.Events.Length == 0)
            return [];
        string name = of.Events[random.Next(of.Events.Length)];
        int chosen = random.Next(10);
        if (chosen >= 5 || _spinning)
            return [$"{(chosen % 5 < 3 ? "complete" : chosen % 5 == 3 ? "complete-all" : "reset")} {name}"];
        if (random.Next(100) >= of.Timed)
            return [$"wait {name}"];
        List<string> body = Make(random.Next(0, length));
        return [$"wait {name} for {10 * random.Next(1, 4)}ms skip {body.Count}", .. body];
    }

    private List<string> OfMemory(int length)
    {
        if (of.Memory.Length == 0)
            return [];
        string name = of.Memory[random.Next(of.Memory.Length)];
        if (random.Next(2) == 0)
            return [$"store {name} {random.Next(0, 3)}"];
        List<string> body = Make(random.Next(0, length));
        return [$"load {name} skip {body.Count}", .. body];
    }
}
