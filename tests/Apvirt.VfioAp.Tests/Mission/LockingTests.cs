using Apvirt.Ap.Architecture;
using Apvirt.Host.Checks;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Validation;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioAp.Tests.Support;

namespace Apvirt.VfioAp.Tests.Mission;

/// <summary>mission.md part 3: why the final locking is as it is, on the driver itself with its checks on.</summary>
public sealed class LockingTests
{
    private static TestMachine Checked(int[] adapters, int[] domains, out KernelChecks checks)
    {
        checks = new KernelChecks(LockOrder.Declared);
        return new TestMachine(adapters, domains, checks: checks).Create();
    }

    private static TestMachine Attached(out KernelChecks checks)
    {
        TestMachine t = Checked([0x04], [0x04, 0x47], out checks).Assign([0x04], [0x04, 0x47]);
        Assert.Equal(Errno.Ok, t.Start());
        return t;
    }

    // What has been found since the machine was made, but for what 6.12 is known to do.
    private static string[] Unpredicted(KernelChecks checks) =>
        [.. checks.Violations.ToArray().Where(v => v.Finding is null).Select(v => v.ToString())];

    [Fact]
    public void M030_a_bound_queue_reaches_the_guest_within_the_probe()
    {
        TestMachine t = Checked([0x04], [0x04], out KernelChecks checks);
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        t.Assign([0x04], [0x04]);
        Assert.Equal(Errno.Ok, t.Start());
        t.AssertGuest([], [0x04]);
        Assert.Equal(Errno.Ok, t.Bind("04.0004"));
        t.AssertGuest([0x04], [0x04]);
        Assert.Empty(Unpredicted(checks));
    }

    [Fact]
    public void M033_M058_plugging_needs_no_inversion_and_no_unlocked_pointer()
    {
        TestMachine t = Attached(out KernelChecks checks);
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        Assert.Equal(Errno.Ok, t.Bind("04.0004"));
        Assert.Empty(Unpredicted(checks));
        LockStatistics learnt = checks.Locks.Statistics();
        Assert.Contains(learnt.Orders, o => o.Outer == "guests_lock" && o.Inner == "kvm->lock" && o.IsObserved);
        Assert.Contains(learnt.Orders, o => o.Outer == "kvm->lock" && o.Inner == "mdevs_lock" && o.IsObserved);
        Assert.DoesNotContain(learnt.Orders, o => o.Outer == "mdevs_lock" && o.Inner is "kvm->lock" or "guests_lock" && o.IsObserved);
    }

    [Theory]
    [InlineData(false, false, false)]
    [InlineData(true, false, true)]
    [InlineData(false, true, true)]
    [InlineData(true, true, true)]
    public void M046_M052_M053_the_attached_vm_is_read_under_either_lock(bool guests, bool mdevs, bool isAllowed)
    {
        TestMachine t = Attached(out KernelChecks checks);
        KernelTask task = Holding(t, guests, mdevs);
        VfioApGuards.All.OfType<GuardRule<MatrixMdev>>().Single(r => r.Field == "mdev.kvm").CheckRead(task, t.Mdev());
        AssertGuard(checks, isAllowed, "mdev.kvm is read without guests_lock or mdevs_lock");
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void M053_the_attached_vm_is_written_under_both_locks(bool guests, bool mdevs)
    {
        TestMachine t = Attached(out KernelChecks checks);
        KernelTask task = Holding(t, guests, mdevs);
        VfioApGuards.All.OfType<GuardRule<MatrixMdev>>().Single(r => r.Field == "mdev.kvm").CheckWrite(task, t.Mdev());
        AssertGuard(checks, isAllowed: false, $"mdev.kvm is written without {(guests ? "mdevs_lock" : "guests_lock")}");
    }

    [Fact]
    public void M053_opening_and_closing_write_it_under_all_its_locks()
    {
        TestMachine t = Attached(out KernelChecks checks);
        Assert.NotNull(t.Mdev().Kvm);
        Assert.Equal(Errno.Ok, t.Stop());
        Assert.Null(t.Mdev().Kvm);
        Assert.Empty(Unpredicted(checks));
    }

    [Fact]
    public void M055_a_marriage_lives_in_the_mdev_and_ends_with_either_partner()
    {
        TestMachine t = new TestMachine([0x04, 0x05], [0x04]).Create().Create(TestMachine.M2).Assign([0x04], [0x04]).Assign([0x05], [0x04], TestMachine.M2);
        int Attached() => new[] { TestMachine.M, TestMachine.M2 }.Count(uuid => t.Mdev(uuid).Kvm is not null);
        for (int round = 0; round < 3; round++)
        {
            Assert.Equal(0, Attached());
            Assert.Equal(Errno.Ok, t.Start());
            Assert.Equal(1, Attached());
            Assert.Equal(Errno.EPERM, t.Start("g", TestMachine.M2));
            Assert.Equal(1, Attached());
            Assert.Equal(Errno.Ok, t.Start("h", TestMachine.M2));
            Assert.Equal(2, Attached());
            Assert.Equal(Errno.Ok, t.Stop());
            Assert.Equal(1, Attached());
            Assert.Equal(Errno.Ok, t.Stop("h"));
        }
        Assert.Equal(0, Attached());
    }

    [Fact]
    public void M056_closing_resets_while_the_vm_is_still_known()
    {
        TestMachine t = Attached(out KernelChecks checks);
        VirtualMachine machine = t.Machine();
        PqapRequest request = new(PqapRegisters.ForAqic(TestMachine.Q("04.0047"), new AqicControl(Enable: true, Isc: 3, NotificationByte: 0x2010)));
        t.Runtime.Drive(t.Host.Guests.InterceptAsync(t.Task, t.Host.Guests.Find("g")!, request));
        Assert.Equal(1, machine.Gisa.Counts[3]);
        Assert.Equal(Errno.Ok, t.Stop());
        Assert.Equal(0, machine.Gisa.Counts[3]);
        Assert.False(t.Mdev().Vfio.Pins.IsPinned(0x2010));
        Assert.Equal(0, machine.References);
        Assert.Empty(Unpredicted(checks));
    }

    [Fact]
    public void M108_a_missing_bit_keeps_a_removal_silent_whatever_its_reason()
    {
        // (iii) Nothing was bound when the guest started; the other queue of the adapter still is not.
        TestMachine t = new TestMachine([0x04], [0x04, 0x47]).Create();
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        Assert.Equal(Errno.Ok, t.Unbind("04.0047"));
        t.Assign([0x04], [0x04, 0x47]);
        Assert.Equal(Errno.Ok, t.Start());
        Assert.Equal(Errno.Ok, t.Bind("04.0047"));
        AssertSilentRemoval(t, "04.0047", isLinked: true);

        // (ii) The filter withheld the adapter, because a queue of it left.
        t = Attached(out _);
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
        AssertSilentRemoval(t, "04.0047", isLinked: true);

        // (iv) The domain was unassigned first.
        t = Attached(out _);
        Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("unassign_domain"), "0x47"));
        AssertSilentRemoval(t, "04.0047", isLinked: false);
        t.AssertGuest([0x04], [0x04]);

        // (i) The host lost the domain; the scan has told the driver and has not yet removed the device.
        t = Attached(out _);
        QciInfo before = t.Host.ApBus.Configuration;
        QciInfo now = before with { Aqm = ApMask.Of(0x04) };
        Assert.True(t.Runtime.Drive(t.Driver.ConfigurationChangedAsync(t.Task, now, before), TimeSpan.Zero));
        AssertSilentRemoval(t, "04.0047", isLinked: true);
        t.AssertGuest([0x04], [0x04]);
    }

    private static void AssertSilentRemoval(TestMachine t, string queue, bool isLinked)
    {
        Assert.Equal(isLinked, t.Linked(queue));
        Assert.False(t.Plugged(queue));
        (long writes, int[] adapters) = (t.Machine().SetMasksCount, [.. t.Machine().Apcb.Apm.ToList()]);
        Assert.Equal(Errno.Ok, t.Unbind(queue));
        Assert.Equal(writes, t.Machine().SetMasksCount);
        Assert.Equal(adapters, t.Machine().Apcb.Apm.ToList());
    }

    private static KernelTask Holding(TestMachine t, bool guests, bool mdevs)
    {
        KernelTask task = t.Runtime.CreateTask("reader");
        if (guests)
            Assert.True(t.Host.VfioAp.Matrix.GuestsLock.TryLock(task));
        if (mdevs)
            Assert.True(t.Host.VfioAp.Matrix.MdevsLock.TryLock(task));
        return task;
    }

    private static void AssertGuard(KernelChecks checks, bool isAllowed, string expected)
    {
        string[] found = [.. checks.Violations.ToArray().Where(v => v.Kind == ViolationKind.Guard && v.Finding is null).Select(v => v.Summary)];
        if (isAllowed)
            Assert.Empty(found);
        else
            Assert.Contains(found, summary => summary.StartsWith(expected, StringComparison.Ordinal));
    }
}
