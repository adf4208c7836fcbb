using Apvirt.Ap.Profiles;
using Apvirt.Host.Arguments;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Tests.Arguments;

/// <summary>The argument for any number of guests, queues and administrators (M135).</summary>
public sealed class DeadlockArgumentTests
{
    private static string Root
    {
        get
        {
            DirectoryInfo? at = new(AppContext.BaseDirectory);
            while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
                at = at.Parent;
            return at!.FullName;
        }
    }

    private static ArgumentCorpus Record(Profile profile, int episodes)
    {
        ArgumentCorpus corpus = new(profile);
        for (int episode = 0; episode < episodes; episode++)
            corpus.AddRandom(episode);
        return corpus;
    }

    private static int[] BrokenAt(ArgumentCorpus corpus)
    {
        IReadOnlyList<ArgumentStatement> statements = DeadlockArgument.Of(corpus);
        return [.. Enumerable.Range(0, statements.Count).Where(i => statements[i].Broken.Count > 0).Select(i => i + 1)];
    }

    [Fact]
    public void M135_under_strict_it_holds_and_the_document_says_so()
    {
        ArgumentCorpus corpus = Record(Profile.Strict, ArgumentCorpus.UsualEpisodes);
        foreach (string file in Directory.GetFiles(Path.Combine(Root, "tests", "conformance", "traces"), "*.jsonl").Order(StringComparer.Ordinal))
            Assert.Null(corpus.AddTrace(file, File.ReadAllBytes(file)));
        IReadOnlyList<ArgumentStatement> statements = DeadlockArgument.Of(corpus);
        Assert.Empty(statements.SelectMany(statement => statement.Broken));
        // What hardly matters to locks may be missing; what the order is about may not.
        Assert.Empty(corpus.Missing.Except(["guest.ais", "guest.write", "zpci.info"]));
        string[] called =
            ["write assign_adapter", "write unassign_adapter", "write assign_domain", "write unassign_domain", "write assign_control_domain", "write ap_config", "read ap_config",
                "read matrix", "read guest_matrix", "write create", "write remove", "write apmask", "write aqmask", "write bind", "write unbind", "host.config", "guest.start", "guest.stop", "pqap.aqic", "guest.pv"];
        Assert.Empty(called.Except(corpus.Entries.Keys));

        string path = Path.Combine(Root, "docs", "proof.md");
        string expected = ProofDocument.Format(statements, Exhausted());
        if (Environment.GetEnvironmentVariable("APVIRT_WRITE_DOCS") == "1")
            File.WriteAllText(path, expected);
        Assert.True(File.Exists(path) && expected == File.ReadAllText(path), "docs/proof.md is stale: APVIRT_WRITE_DOCS=1 ./test Host writes it anew");
    }

    // Those that ScenarioTests and BothSearchesTests exhaust under strict, by the first line of each that says what it is about.
    private static IEnumerable<(string, string)> Exhausted() =>
        Directory.GetFiles(Path.Combine(Root, "examples", "scenarios"), "*.yaml").Order(StringComparer.Ordinal)
            .Where(file => !Path.GetFileName(file).StartsWith("belief", StringComparison.Ordinal) && !Path.GetFileName(file).StartsWith("seed", StringComparison.Ordinal))
            .Select(file => (Path.GetFileName(file), File.ReadLines(file).First(line => line.StartsWith("about: ", StringComparison.Ordinal))["about: ".Length..]));

    [Fact]
    public void M135_under_linux_612_listeners_that_are_called_under_their_list_break_it()
    {
        ArgumentCorpus corpus = Record(Profile.Linux612, episodes: 20);
        Assert.Equal([2], BrokenAt(corpus));
        string[] broken = [.. DeadlockArgument.Of(corpus)[1].Broken];
        Assert.Contains(broken, text => text.StartsWith("device_list_lock → ", StringComparison.Ordinal));
        Assert.All(broken, text => Assert.EndsWith("is not declared (F01)", text, StringComparison.Ordinal));
    }

    [Fact]
    public void M135_a_new_acquisition_that_breaks_an_assumption_fails()
    {
        KernelMutex Mutex(string name, LockNesting nesting = LockNesting.None) => new(new LockClass(name, LockKind.Mutex, nesting));

        // An order that nobody has declared, though no other is against it.
        Assert.Equal([2], Plant(Mutex("igate"), Mutex("guests_lock")));
        // One that is against the declared order.
        Assert.Contains(2, Plant(Mutex("mdevs_lock"), Mutex("guests_lock")));
        // Two of a class that has no numbers.
        KernelMutex queue = Mutex("igate");
        Assert.Equal([3], Plant(queue, new KernelMutex(queue.Class)));
    }

    private static int[] Plant(KernelMutex outer, KernelMutex inner)
    {
        ArgumentCorpus corpus = new(Profile.Strict);
        SimulationRuntime runtime = new() { Checks = corpus.Checks };
        KernelTask task = runtime.CreateTask("planted");
        runtime.Drive(outer.LockAsync(task), TimeSpan.Zero);
        runtime.Drive(inner.LockAsync(task), TimeSpan.Zero);
        inner.Unlock(task);
        outer.Unlock(task);
        return BrokenAt(corpus);
    }
}
