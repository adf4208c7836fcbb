using Apvirt.Ap.Profiles;
using Apvirt.Host.Checks;
using Apvirt.Host.Traces;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Validation;

namespace Apvirt.Host.Tests.Checks;

/// <summary>All recordings with every check on, and the document that the tables make.</summary>
public sealed class ConformanceChecksTests(ConformanceChecksTests.Replays replays) : IClassFixture<ConformanceChecksTests.Replays>
{
    /// <summary>The recordings, run once under each profile.</summary>
    public sealed class Replays
    {
        public KernelChecks Linux { get; } = Replay(Profile.Linux612);

        public KernelChecks Strict { get; } = Replay(Profile.Strict);
    }

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

    [Fact]
    public void Under_linux_612_only_what_a_finding_predicts_is_broken()
    {
        KernelChecks checks = replays.Linux;
        Assert.Empty(checks.Violations.ToArray().Where(v => v.Finding is null).Select(v => v.ToString()));
        string[] findings = [.. checks.Violations.ToArray().Select(v => v.Finding!).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        Assert.Equal(["F02, F06", "F03", "F04", "F05", "F08", "F09", "F10", "F13", "F17"], findings);
    }

    [Fact]
    public void Under_strict_nothing_is_broken() =>
        Assert.Empty(replays.Strict.Violations.ToArray().Select(v => v.ToString()));

    [Fact]
    public void M046_M057_the_locking_document_is_what_the_tables_say()
    {
        string path = Path.Combine(Root, "docs", "locking.md");
        string expected = LockingDocument.Format(replays.Linux.Locks.Statistics());
        if (Environment.GetEnvironmentVariable("APVIRT_WRITE_DOCS") == "1")
            File.WriteAllText(path, expected);
        Assert.True(File.Exists(path), "docs/locking.md is missing: APVIRT_WRITE_DOCS=1 ./test Host writes it");
        Assert.True(expected == File.ReadAllText(path), "docs/locking.md is stale: APVIRT_WRITE_DOCS=1 ./test Host writes it anew");
        Assert.Contains("`ap_perms_mutex → guests_lock → kvm->lock → vcpu->mutex → pqap_hook_rwsem → mdevs_lock → iommu->lock`", expected, StringComparison.Ordinal);
    }

    [Fact]
    public void M031_M050_M051_the_orders_of_the_final_design_are_observed_and_no_other()
    {
        LockStatistics learnt = replays.Strict.Locks.Statistics();
        bool IsObserved(string outer, string inner) => learnt.Orders.Any(o => o.Outer == outer && o.Inner == inner && o.IsObserved);
        Assert.True(IsObserved("guests_lock", "kvm->lock"));
        Assert.True(IsObserved("kvm->lock", "mdevs_lock"));
        Assert.True(IsObserved("ap_perms_mutex", "guests_lock"));
        Assert.True(IsObserved("vcpu->mutex", "mdevs_lock"));
        foreach (OrderEdge forbidden in LockOrder.Declared.Forbidden)
            Assert.False(IsObserved(forbidden.Outer, forbidden.Inner), $"{forbidden.Outer} -> {forbidden.Inner}");
        Assert.False(IsObserved("vcpu->mutex", "guests_lock"));
    }

    private static KernelChecks Replay(Profile profile)
    {
        KernelChecks checks = new(LockOrder.Declared, new LockValidatorOptions { VerifiesChains = true });
        foreach (string file in Directory.GetFiles(Path.Combine(Root, "tests", "conformance", "traces"), "*.jsonl").Order(StringComparer.Ordinal))
            Assert.Null(TraceReplay.Run(file, File.ReadAllBytes(file), answered: null, profile, checks).Error);
        return checks;
    }
}
