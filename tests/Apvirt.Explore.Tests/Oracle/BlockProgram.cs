namespace Apvirt.Explore.Tests.Oracle;

/// <summary>
/// A random program around one reader/writer lock <c>s</c>, which two tasks share while they wait for an event that comes
/// late or never. Beside them are a writer and up to two short readers; half of the programs have memory, a quarter tries.
/// </summary>
internal sealed class BlockProgram(Random random)
{
    private readonly bool _memory = random.Next(2) == 0;
    private readonly bool _tries = random.Next(4) == 0;

    /// <summary>Whether the two wait for one event each.</summary>
    private readonly bool _apart = random.Next(3) == 0;

    internal IReadOnlyList<IReadOnlyList<string>> Make()
    {
        List<List<string>> tasks = [Long("e0"), Long(_apart ? "e1" : "e0"), Writer()];
        for (int readers = random.Next(0, 3); readers > 0; readers--)
            tasks.Add(Short());
        foreach (string name in _apart ? (string[])["e0", "e1"] : ["e0"])
        {
            // Of three events one never comes; else some task completes it when it has done the rest, itself perhaps having waited.
            if (random.Next(3) > 0)
                tasks[random.Next(tasks.Count)].Add($"{(random.Next(3) == 0 ? "complete-all" : "complete")} {name}");
        }
        List<string>[] shuffled = [.. tasks];
        random.Shuffle(shuffled);
        return shuffled;
    }

    /// <summary>A reader that waits inside; sometimes with a mutex held around, sometimes after a section of its own.</summary>
    private List<string> Long(string awaited)
    {
        List<string> core = ["read-lock s", $"wait {awaited}", "read-unlock s"];
        string mutex = Mutex();
        return random.Next(6) switch
        {
            0 => [$"lock {mutex}", .. Access(), .. core, $"unlock {mutex}"],
            1 or 2 => [$"lock {mutex}", .. Access(), $"unlock {mutex}", .. core],
            3 => [.. Access(), .. core],
            _ => core,
        };
    }

    private List<string> Writer()
    {
        string mutex = Mutex();
        List<string> body = random.Next(3) == 0 ? [$"lock {mutex}", $"unlock {mutex}"] : [.. Access()];
        return Taken(_tries && random.Next(3) == 0, "try-write s", "write-lock s", body, "write-unlock s");
    }

    private List<string> Short()
    {
        bool tries = _tries && random.Next(2) == 0;
        List<string> core = Taken(tries, "try-read s", "read-lock s", [.. Access()], "read-unlock s");
        string mutex = Mutex();
        return random.Next(5) switch
        {
            0 => Taken(_tries && random.Next(2) == 0, $"try {mutex}", $"lock {mutex}", core, $"unlock {mutex}"),
            1 => [$"lock {mutex}", $"unlock {mutex}", .. core],
            2 => [.. core, $"lock {mutex}", .. Access(), $"unlock {mutex}"],
            3 => [.. Taken(tries: false, "", "read-lock s", [$"lock {mutex}", $"unlock {mutex}"], "read-unlock s")],
            _ => [.. core, .. Access()],
        };
    }

    private static List<string> Taken(bool tries, string attempt, string enter, List<string> body, string leave) =>
        [tries ? $"{attempt} skip {body.Count + 1}" : enter, .. body, leave];

    private string Mutex() => $"m{random.Next(2)}";

    /// <summary>At times an access to memory, in a program that has any.</summary>
    private string[] Access()
    {
        if (!_memory || random.Next(2) == 0)
            return [];
        string name = $"x{random.Next(2)}";
        return [random.Next(2) == 0 ? $"load {name}" : $"store {name} 1"];
    }
}
